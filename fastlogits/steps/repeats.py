"""Steps against repeats: DRY and bans of n-grams; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits._common import params
from fastlogits.steps import operands as _edits
from fastlogits.steps.base import Step
from fastlogits.steps.operands import Lists

__all__ = ["Dry", "EncoderNoRepeatNgram", "NoRepeatNgram"]


@dataclass(frozen=True, repr=False)
class Dry(Step):
    """Lowers the logits of tokens that would go on with a repeat ("don't repeat yourself").

    For a token that followed where the last m tokens stood before, m >= allowed_length and the largest such m:
    l - multiplier * base ** (m - allowed_length).

    Parameters
    ----------
    multiplier : float >= 0
        0 is off. Default 0.
    base : float >= 1
        Default 1.75. The power is kept below the largest float32.
    allowed_length : int >= 0
        Repeats of fewer tokens are free. Default 2.
    window : int >= -1 or None
        Only the last ``window`` tokens are searched. None and -1: all of them.
    sequence_breakers : sequence of sequences of token ids, or a list of such sequences (or None) per row
        No repeat reaches back over one of them. A breaker of a single token is never lowered. Default none.

    Notes
    -----
    p-e-w, "DRY: A modern repetition penalty that reliably prevents looping", text-generation-webui pull request 5677,
    2024; in every detail llama.cpp's rule. With a State the history is not searched: the places where its last tokens
    stood before are linked.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.Dry(1.0, allowed_length=2))
    >>> sampler.filter_logits([0.0] * 5, context=[0, 1, 2, 4, 0, 1])
    array([ 0.,  0., -1.,  0.,  0.])
    >>> sampler.filter_logits([0.0] * 5, context=[3, 0, 1, 2, 4, 3, 0, 1])
    array([ 0.  ,  0.  , -1.75,  0.  ,  0.  ])
    """

    name: ClassVar[str] = "dry"
    multiplier: Any = 0.0
    base: Any = 1.75
    allowed_length: Any = 2
    window: Any = None
    sequence_breakers: Any = ()

    def __post_init__(self) -> None:
        self._set(
            multiplier=params.number("dry_multiplier", self.multiplier, 0.0, off=0.0),
            base=params.number("dry_base", self.base, 1.0, off=1.0),
            allowed_length=params.integer("dry_allowed_length", self.allowed_length, 0, off=2),
            window=params.integer("dry_penalty_last_n", self.window, -1, off=None),
            sequence_breakers=_edits.sequence_rows("dry_sequence_breakers", self.sequence_breakers),
        )

    def _lists(self) -> Lists:
        return _edits.sequence_arrays("dry_sequence_breakers", self.sequence_breakers)


@dataclass(frozen=True, repr=False)
class NoRepeatNgram(Step):
    """Bans every token that would complete an n-gram that the context already holds.

    Parameters
    ----------
    size : int >= 0
        n; 1 bans all tokens of the context, 0 is off. Default 0.

    Notes
    -----
    transformers' ``NoRepeatNGramLogitsProcessor``, fairseq's ``no_repeat_ngram_size``. With a State the history is not
    searched.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.NoRepeatNgram(2))
    >>> sampler.filter_logits([0.0, 0.0, 0.0], context=[1, 1, 2, 1])
    array([  0., -inf, -inf])
    """

    name: ClassVar[str] = "no_repeat_ngram"
    size: Any = 0

    def __post_init__(self) -> None:
        self._set(size=params.integer("no_repeat_ngram_size", self.size, 0, off=0))


@dataclass(frozen=True, repr=False)
class EncoderNoRepeatNgram(Step):
    """Bans every token that would complete an n-gram of the encoder's input.

    Parameters
    ----------
    size : int >= 0
        n; 0 is off. Default 0.
    ids : sequence of token ids, or one per row
        The encoder's input, or a prompt not to be copied. Needed unless the step is off.

    Notes
    -----
    transformers' ``EncoderNoRepeatNGramLogitsProcessor``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.EncoderNoRepeatNgram(2, [1, 2, 1, 0]))
    >>> sampler.filter_logits([0.0, 0.0, 0.0], context=[2, 1])
    array([-inf,   0., -inf])
    """

    name: ClassVar[str] = "encoder_no_repeat_ngram"
    size: Any = 0
    ids: Any = None

    def __post_init__(self) -> None:
        self._set(size=params.integer("encoder_no_repeat_ngram_size", self.size, 0, off=0))
        _edits.check_given("encoder_no_repeat_ngram_size", self.size != 0, "encoder_ids", self.ids)
        self._set(ids=_edits.token_rows("encoder_ids", self.ids, text=True))

    def _lists(self) -> Lists:
        return _edits.id_lists("encoder_ids", self.ids)
