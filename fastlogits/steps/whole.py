"""Steps that change a whole row: repair and renormalization; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits._common import params
from fastlogits.steps.base import Step

__all__ = ["RemoveInvalidValues", "RenormalizeLogits"]


@dataclass(frozen=True, repr=False)
class RemoveInvalidValues(Step):
    """Repairs the row as it came: NaN becomes 0, +inf and -inf the largest and the lowest value of its type.

    Must be the first step. Banned tokens (-inf) become survivors of probability 0, as transformers has it.

    Parameters
    ----------
    enabled : bool, or one per row
        Default True.

    Notes
    -----
    transformers' ``InfNanRemoveLogitsProcessor``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> row = np.array([0.5, np.nan, 2.0], np.float32)
    >>> fl.Sampler(fl.steps.RemoveInvalidValues()).filter_logits(row)
    array([0.5, 0. , 2. ], dtype=float32)
    """

    name: ClassVar[str] = "remove_invalid_values"
    enabled: Any = True

    def __post_init__(self) -> None:
        self._set(enabled=params.flag(self.name, self.enabled))


@dataclass(frozen=True, repr=False)
class RenormalizeLogits(Step):
    """Replaces the logits by their log-softmax over the survivors: l - ln(sum of exp l).

    A constant for all tokens: probabilities stay, `filter_logits` and `candidates` return log-probs. It is
    cheapest as the last step; anywhere else it lists all survivors unless a cut stands before it.

    Parameters
    ----------
    enabled : bool, or one per row
        Default True.

    Notes
    -----
    transformers' ``LogitNormalization``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopK(2), fl.steps.RenormalizeLogits()).filter_logits([1.0, 1.0, 0.0]).round(3)
    array([-0.693, -0.693,   -inf])
    """

    name: ClassVar[str] = "renormalize_logits"
    enabled: Any = True

    def __post_init__(self) -> None:
        self._set(enabled=params.flag(self.name, self.enabled))
