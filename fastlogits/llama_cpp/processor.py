"""A logits processor for llama-cpp-python, which follows its sequences."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from fastlogits._common.familiar import refuse_unknown
from fastlogits.sampling.keywords import KEYWORDS, Steering
from fastlogits.sampling.sampler import Sampler
from fastlogits.sampling.state import State

#: How many sequences a processor follows at a time.
_SEQUENCES = 8


class LogitsProcessor:
    """A processor for ``logits_processor=LogitsProcessorList([...])``: the client's strided scores, without a copy.

    Parameters
    ----------
    *steps, **steering
        As of `Sampler`; or one Sampler.
    only_drawn : bool, default False
        Draw, and leave that token alone, so that llama.cpp's own chain can only take it.
    rng : int, Generator or None
        Of the draw; an int is the seed of a stream that moves with the number of tokens.

    Notes
    -----
    The client calls ``processor(input_ids, scores)`` with ids [n] and float32 scores [V] of any stride (the client's
    are 12 bytes apart). It writes the result into ``scores`` and returns it, which is the client's contract.

    The processor keeps a `State` for each of the last sequences that it saw, so mirostat and adaptive-p adapt. Tokens
    that continue none of these sequences begin a new one. Without ``only_drawn`` the surprise of a token is the one
    that it has in the scores returned before it, which is right where llama.cpp's chain draws from them unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlogits.llama_cpp import LogitsProcessor
    >>> records = np.zeros(3, [("id", np.intc), ("logit", np.float32), ("p", np.float32)])
    >>> records["logit"] = [1.0, 3.0, 2.0]
    >>> LogitsProcessor(top_k=2)(np.array([0, 1], np.intc), records["logit"])
    array([-inf,   3.,   2.], dtype=float32)
    """

    def __init__(self, *steps: Any, only_drawn: bool = False, rng: Any = None, **steering: Unpack[Steering]) -> None:
        given = len(steps) == 1 and isinstance(steps[0], Sampler) and not steering
        refuse_unknown(type(self).__name__, steering, KEYWORDS)
        self._sampler = steps[0] if given else Sampler(*steps, **steering)
        self._only_drawn, self._rng = only_drawn, rng
        self._sequences = _Sequences(self._sampler)

    def __call__(self, input_ids: NDArray[np.intc], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores as the steps leave them, in their place."""
        with self._sequences.lock:
            sequence = self._sequences.of(np.array(input_ids, np.int64), scores.shape[-1])
            if self._only_drawn:
                token = self._sampler.sample(scores, state=sequence.state, rng=self._rng)
                kept = scores[token]
                scores[...] = -np.inf
                scores[token] = kept
            else:
                before = np.array(scores) if self._sequences.remembers else None
                self._sampler.filter_logits(scores, state=sequence.state, rng=self._rng, out=scores)
                sequence.row = before
        return scores


class _Sequence:
    """One sequence as far as a processor has seen it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.tokens = np.empty(0, np.int64)
        self.row: NDArray[np.float32] | None = None  # the scores behind these tokens, where somebody else draws

    def follow(self, ids: NDArray[np.int64]) -> None:
        """Accepts the tokens of `ids` beyond its own."""
        new = ids[self.tokens.size :]
        if self.row is not None and new.size == 1:
            self._hear(self.row, int(new[0]))
        self.state.accept(new)
        self.tokens, self.row = ids, None

    def _hear(self, row: NDArray[np.float32], token: int) -> None:
        """Has the state take a token for one drawn from `row`, if it can be.

        A token drafted from the target distribution itself is always accepted, which updates the state.
        """
        rows, sampler = np.stack([row, row]), self.state.sampler
        with contextlib.suppress(ValueError):  # a token of probability 0
            sampler.verify(rows, [token], draft_logits=rows[:1], state=self.state, rng=0)


class _Sequences:
    """The sequences that a processor follows, the one seen last at the end."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self.lock = threading.Lock()
        self.remembers = any(step.name in ("mirostat", "adaptive_p") for step in sampler.steps)
        self._known: list[_Sequence] = []

    def __reduce__(self) -> Any:
        return _Sequences, (self._sampler,)

    def of(self, ids: NDArray[np.int64], vocab: int) -> _Sequence:
        """The longest sequence of this vocabulary that `ids` continues, up to date; a new one where there is none."""
        same = [each for each in self._known if each.state.vocab == vocab]
        known = [each for each in same if np.array_equal(each.tokens, ids[: each.tokens.size])]
        found = max(known, key=lambda each: each.tokens.size, default=None)
        if found is None:
            found = _Sequence(self._sampler.state(vocab=vocab, out_of_vocab="placeholder"))
        found.follow(ids)
        self._known = [*(each for each in self._known if each is not found), found][-_SEQUENCES:]
        return found
