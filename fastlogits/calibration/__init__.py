"""Calibration: are predictions made with 90 % confidence right 90 % of the time, and what makes them so.

`calibration_error`, `reliability_curve`, `brier_score` and `negative_log_likelihood` take one of three forms:
confidences of single predictions with their outcomes; probabilities [..., C] with class ids; or logits [..., V] with
token ids. Logits are read once and never turned into a matrix of probabilities. `fit_temperature` and `fit_scaling`
improve what these figures show.
"""

from fastlogits.calibration._curve import ReliabilityCurve
from fastlogits.calibration._figures import (
    brier_score,
    calibration_error,
    negative_log_likelihood,
    reliability_curve,
)
from fastlogits.calibration._scaling import Scaling, fit_scaling
from fastlogits.calibration._temperature import TemperatureFit, fit_temperature

__all__ = [
    "ReliabilityCurve",
    "Scaling",
    "TemperatureFit",
    "brier_score",
    "calibration_error",
    "fit_scaling",
    "fit_temperature",
    "negative_log_likelihood",
    "reliability_curve",
]
