"""Steps that name tokens: biases and bans, many of them by what stands before; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits import _edits
from fastlogits._edits import Lists
from fastlogits._step import Step


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
