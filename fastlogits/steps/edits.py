"""Edits of single logits: biases of tokens and masks; see `fastlogits.steps`."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastlogits.steps.base import Step
from fastlogits.steps.operands import Lists, bias_arrays, checked_bias, checked_mask, mask_words, same_bias, same_mask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LogitBias", "Mask"]

# As NumPy shortens long arrays.
_BIASES = reprlib.Repr()
_BIASES.maxdict = _BIASES.maxlist = 64
_BIASES.maxother = 100_000


@dataclass(frozen=True, repr=False, eq=False)
class LogitBias(Step):
    """Adds a bias to the logits of some tokens; -inf bans a token.

    Parameters
    ----------
    bias : mapping {id: bias}, or tuple (ids, values), or a list with one of these (or None) per row
        ids are integers in [0, V), each at most once in a row; values are finite or -inf.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.LogitBias({0: 2.5, 2: -float("inf")})).filter_logits([2.0, -1.0, 3.0])
    array([ 4.5, -1. , -inf])
    """

    name: ClassVar[str] = "logit_bias"
    bias: Any

    def __post_init__(self) -> None:
        self._set(bias=checked_bias(self.bias))

    def _lists(self) -> Lists:
        return bias_arrays(self.bias)

    def __repr__(self) -> str:
        few = bias_arrays(self.bias).ids.size <= _BIASES.maxdict
        return f"LogitBias({repr(self.bias) if few else _BIASES.repr(self.bias)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LogitBias) and same_bias(self.bias, other.bias)

    __hash__ = None  # type: ignore[assignment]  # holds arrays


@dataclass(frozen=True, repr=False, eq=False)
class Mask(Step):
    """Bans every token that the mask does not allow.

    Parameters
    ----------
    mask : bool array [V] or [..., V], or int32 or uint32 array [ceil(V / 32)] or [..., ceil(V / 32)]
        Token i is allowed where mask[i] is True; in words, where bit i % 32 of word i // 32 is set. That is the layout
        of xgrammar and llguidance. A shorter
        mask bans the tokens beyond it; words may be padded. They are not copied: a call sees what they hold at that
        time, so a grammar may fill them anew for each token.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Mask([True, False, True])).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    >>> import numpy as np
    >>> fl.Sampler(fl.steps.Mask(np.array([0b011], np.int32))).filter_logits([2.0, -1.0, 3.0])
    array([  2.,  -1., -inf])
    """

    name: ClassVar[str] = "mask"
    mask: Any

    def __post_init__(self) -> None:
        self._set(mask=checked_mask(self.mask))

    def _words(self) -> NDArray[np.uint32]:
        return mask_words(self.mask)

    def __repr__(self) -> str:
        mask: np.ndarray[Any, Any] = self.mask
        return f"Mask(<{mask.dtype} {list(mask.shape)}>)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and same_mask(self.mask, other.mask)

    __hash__ = None  # type: ignore[assignment]  # holds an array
