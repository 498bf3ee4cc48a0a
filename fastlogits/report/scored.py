"""A scored text: its pieces and what a scoring run says of each, checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fastlogits._common import inputs as _inputs
from fastlogits.scoring.texts import TextScore, score_text

# Characters that would reorder or hide what stands around them.
_HIDDEN = frozenset("\u061c\u200b\u200e\u200f\u2028\u2029\u2060\ufeff") | set(
    map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)])
)


def visible(piece: str) -> str:
    r"""The piece as it is shown: ``↵``, ``→`` for line feeds and tabs, escapes for other characters without a glyph."""
    if not piece:
        return "∅"
    return "".join(map(_glyph, piece))


def _glyph(char: str) -> str:
    if char in "\n\t":
        return "↵" if char == "\n" else "→"
    if char in _HIDDEN or unicodedata.category(char) in ("Cc", "Cs", "Cn"):
        return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"
    return char


class ScoredText:
    r"""One text and what a scoring run says of its tokens: the input of `plots.heat_strip`.

    Parameters
    ----------
    pieces : sequence of str [T]
        The text of each token, as it stands between its neighbors (with its leading space).
    logprobs : array_like of float [T]
        Log-prob of each token, in nats, at most 0; NaN where a token was not scored, as `token_logprobs` reports
        ignored targets. Such tokens are shown without a color and count nowhere.
    entropy : array_like of float [T], optional
        Entropy of the distribution each token was scored by, in nats, >= 0.
    ranks : array_like of int [T], optional
        1 + the number of strictly greater logits; -1 where a token was not scored.
    greedy : array_like of bool [T], optional
        Whether each token was the first maximum: gives the accuracy.
    best : sequence of str [T], optional
        The text of the first maximum.
    name : str, default ""
        A heading.

    Attributes
    ----------
    pieces, logprobs, entropy, ranks, greedy, best, name
        As given, in tuples of str and arrays of float64, int64 and bool.
    counted : bool array [T]
        Which tokens were scored.

    Raises
    ------
    ValueError
        No piece at all, no token that was scored, a length that does not match, a figure out of range; the token is
        named.
    TypeError
        A piece that is not a str, an array of another kind.

    Examples
    --------
    >>> from fastlogits.plots import ScoredText
    >>> text = ScoredText([" to", " be"], [-2.5, -0.5], ranks=[9, 1])
    >>> round(text.score().perplexity, 3)
    4.482
    """

    def __init__(
        self,
        pieces: Sequence[str],
        logprobs: Any,
        *,
        entropy: Any = None,
        ranks: Any = None,
        greedy: Any = None,
        best: Sequence[str] | None = None,
        name: str = "",
    ) -> None:
        self.name = _string("name", name)
        self.pieces = _strings("pieces", pieces)
        tokens = len(self.pieces)
        if not tokens:
            raise ValueError("pieces must hold one token at least, got none")
        self.logprobs = _column("logprobs", logprobs, tokens, "f", np.float64)
        self.counted = ~np.isnan(self.logprobs)
        if not self.counted.any():
            raise ValueError("logprobs must hold one number at least, got NaN alone")
        self._refuse("logprobs", self.logprobs, self.logprobs > 0, "at most 0")
        self.entropy: NDArray[np.float64] | None = None
        if entropy is not None:
            self.entropy = _column("entropy", entropy, tokens, "f", np.float64)
            self._refuse("entropy", self.entropy, ~(self.entropy >= 0) & self.counted, ">= 0")
        self.ranks: NDArray[np.int64] | None = None
        if ranks is not None:
            self.ranks = _column("ranks", ranks, tokens, "iu", np.int64)
            self._refuse("ranks", self.ranks, (self.ranks < 1) & self.counted, ">= 1")
        self.greedy: NDArray[np.bool_] | None = None
        if greedy is not None:
            self.greedy = _column("greedy", greedy, tokens, "b", np.bool_)
        self.best = None if best is None else _strings("best", best)
        if self.best is not None and len(self.best) != tokens:
            raise ValueError(f"best must hold one per piece ({tokens}), got {len(self.best)}")

    @staticmethod
    def _refuse(name: str, values: NDArray[Any], bad: NDArray[np.bool_], allowed: str) -> None:
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise ValueError(f"{name}[{at}] must be {allowed}, got {values[at]:g}")

    @classmethod
    def of(cls, pieces: Sequence[str], scores: Any, *, best: Sequence[str] | None = None, name: str = "") -> Self:
        """The text with what `token_logprobs` returned for it: ``logprobs``, and ``entropy``, ``ranks``, ``greedy``.

        Parameters
        ----------
        pieces, best, name
            As in `ScoredText`.
        scores : TokenLogprobs
            Of one text, [T]; what was not asked for is left out.

        Examples
        --------
        >>> import fastlogits as fl
        >>> from fastlogits.plots import ScoredText
        >>> found = fl.token_logprobs([[0.0, 1.0, 2.0], [0.0, 9.0, 1.0]], [0, 1], rank=True)
        >>> ScoredText.of([" to", " be"], found).ranks
        array([3, 1])
        """
        figures = {field: getattr(scores, field) for field in ("entropy", "ranks", "greedy")}
        return cls(pieces, scores.logprobs, best=best, name=name, **figures)

    def __len__(self) -> int:
        return len(self.pieces)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {len(self)} tokens)"

    def figures(self) -> dict[str, NDArray[Any]]:
        """The figures there are, by field, in the order in which they are shown."""
        found = {"logprobs": self.logprobs, "entropy": self.entropy, "ranks": self.ranks}
        return {field: values for field, values in found.items() if values is not None}

    def has_bytes(self) -> bool:
        """Whether the scored pieces are text, so that its length in words and bytes is known."""
        return not any(re.search("[\ufffd\ud800-\udfff]", piece) for piece in self._scored())

    def _scored(self) -> list[str]:
        return [piece for piece, counts in zip(self.pieces, self.counted, strict=True) if counts]

    def score(self, *, length: bool | None = None) -> TextScore:
        """The totals of the tokens that were scored.

        Parameters
        ----------
        length : bool, optional
            Whether to count words and bytes, by default where `has_bytes`.
        """
        with_text = self.has_bytes() if length is None else length
        text = "".join(self._scored()) if with_text else None
        return score_text(self.logprobs, greedy=self.greedy, mask=self.counted, text=text)


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, got {type(value).__name__}")
    return str(value)


def _strings(name: str, values: Any) -> tuple[str, ...]:
    """A tuple of plain str."""
    if isinstance(values, str | bytes):
        raise TypeError(f"{name} must be a sequence of str, got one {type(values).__name__}")
    return tuple(_string(f"{name}[{i}]", value) for i, value in enumerate(values))


def _column(name: str, values: Any, tokens: int, kinds: str, dtype: Any) -> NDArray[Any]:
    """One figure per token."""
    array = _inputs.plain_array(name, values)
    if array.dtype.kind not in kinds and not (kinds == "f" and array.dtype.kind in "iuV"):
        words = {"f": "floats", "iu": "integers", "b": "booleans"}[kinds]
        raise TypeError(f"{name} must be {words}, got dtype {array.dtype}")
    if array.shape != (tokens,):
        raise ValueError(f"{name} must hold one per piece, shape ({tokens},), got {array.shape}")
    return array.astype(dtype)
