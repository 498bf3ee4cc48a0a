"""Biases and bans of the last token of a sequence; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits._common import params
from fastlogits.steps import operands as _edits
from fastlogits.steps.base import Step
from fastlogits.steps.operands import Lists

__all__ = ["BadWords", "SequenceBias"]


@dataclass(frozen=True, repr=False)
class SequenceBias(Step):
    """Adds a bias to the last token of a sequence where the others end the context; -inf bans it.

    A sequence of one token is always biased (a logit bias); several biases of one token add up.

    Parameters
    ----------
    bias : mapping {ids: bias}, or pairs [ids, bias], or a list with one mapping (or None) per row
        ids are tuples of at least one token id in [0, V); biases are finite or -inf.

    Notes
    -----
    transformers' ``SequenceBiasLogitsProcessor``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.SequenceBias({(2,): -1.0, (5, 3, 0): 10.0}))
    >>> sampler.filter_logits([2.0, -1.0, 3.0, 0.0, 0.0, 0.0], context=[1, 5, 3])
    array([12., -1.,  2.,  0.,  0.,  0.])
    """

    name: ClassVar[str] = "sequence_bias"
    bias: Any

    def __post_init__(self) -> None:
        self._set(bias=_edits.checked_sequence_bias(self.bias))

    def _lists(self) -> Lists:
        per_row = isinstance(self.bias, list)
        return _edits.sequence_lists(self.name, self.bias if per_row else [self.bias], per_row)

    __hash__ = None  # type: ignore[assignment]  # holds dicts


@dataclass(frozen=True, repr=False)
class BadWords(Step):
    """Bans the last token of a sequence where the others end the context; a single token always.

    Parameters
    ----------
    sequences : sequence of sequences of token ids, or a list of these (or None) per row
        Each of at least one id in [0, V). None: no bans.
    output_only : bool
        Sequences are matched against ``context[prompt_length:]`` alone (vLLM's rule), not the whole context
        (transformers'). Default False.

    Notes
    -----
    transformers' ``NoBadWordsLogitsProcessor``, vLLM's ``bad_words``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.BadWords([[2], [3, 0]]))
    >>> sampler.filter_logits([2.0, -1.0, 3.0, 0.0], context=[1, 3])
    array([-inf,  -1., -inf,   0.])
    """

    name: ClassVar[str] = "bad_words"
    sequences: Any
    output_only: Any = False

    def __post_init__(self) -> None:
        self._set(
            sequences=_edits.sequence_rows("bad_words_ids", self.sequences),
            output_only=params.flag("bad_words_output_only", self.output_only),
        )

    def _lists(self) -> Lists:
        return _edits.sequence_arrays("bad_words_ids", self.sequences)
