"""Maps of all logits: dynamic temperature and smoothing; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits._common import params
from fastlogits.steps.base import Step

__all__ = ["DynamicTemperature", "Smoothing"]


@dataclass(frozen=True, repr=False)
class DynamicTemperature(Step):
    """Divides the logits by a temperature that grows with the entropy of the row.

    T = low + (high - low) (H / ln n)^exponent, H the entropy in nats and n the number of the survivors; T = 0 takes the
    first maximum. A single survivor stays as it is.

    Parameters
    ----------
    low, high : float >= 0
        Temperatures of a row without entropy and of a flat one.
    exponent : float > 0
        Default 1.

    Notes
    -----
    llama.cpp's ``dynatemp_range`` d around a temperature T is low = max(0, T - d), high = T + d, as are the keywords
    ``dynatemp_range`` and ``dynatemp_exponent``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.DynamicTemperature(0.5, 1.0)).filter_logits([2.0, 2.0])
    array([2., 2.])
    """

    name: ClassVar[str] = "dynamic_temperature"
    low: Any
    high: Any
    exponent: Any = 1.0

    def __post_init__(self) -> None:
        self._set(
            low=params.number("low", self.low, 0.0, off=1.0),
            high=params.number("high", self.high, 0.0, off=1.0),
            exponent=params.number("exponent", self.exponent, 0.0, off=1.0, open_low=True),
        )


@dataclass(frozen=True, repr=False)
class Smoothing(Step):
    """Lowers each logit by the square of its distance from the largest, and by its cube (quadratic sampling).

    With d = l - max: max - k d^2 + s d^3, k = factor (3 - curve) / 2, s = factor (curve - 1) / 2.

    Parameters
    ----------
    factor : float >= 0 or None
        None and 0 are off.
    curve : float in [1, 3]
        1 is the plain square. Default 1; within this range the order of the tokens stays.

    Notes
    -----
    text-generation-webui's ``smoothing_factor`` and ``smoothing_curve``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Smoothing(0.5)).filter_logits([2.0, 0.0, 1.0])
    array([2. , 0. , 1.5])
    """

    name: ClassVar[str] = "smoothing"
    factor: Any
    curve: Any = 1.0

    def __post_init__(self) -> None:
        self._set(
            factor=params.number("smoothing_factor", self.factor, 0.0, off=0.0),
            curve=params.number("smoothing_curve", self.curve, 1.0, 3.0, off=1.0),
        )
