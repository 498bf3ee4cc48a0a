"""The steps of a pipeline, to be run in the order written: ``Sampler(TopK(50), Temperature(0.8))``.

Each step is a small frozen dataclass. A numeric parameter is one number for all rows or one per row (a sequence or an
array, kept as a tuple); None means off. Values outside the range are an error here, when the step is made. ``name`` is
the step's name in ``csrc/steps/steps.def``, in `fastlogits.reference` and in error messages.
"""

from __future__ import annotations

from fastlogits.steps import (
    combine,
    cuts,
    distribution,
    draws,
    edits,
    feedback,
    lengths,
    maps,
    penalties,
    repeats,
    sequences,
    thresholds,
    tokens,
    whole,
)
from fastlogits.steps.base import Step
from fastlogits.steps.combine import *
from fastlogits.steps.cuts import *
from fastlogits.steps.distribution import *
from fastlogits.steps.draws import *
from fastlogits.steps.edits import *
from fastlogits.steps.feedback import *
from fastlogits.steps.lengths import *
from fastlogits.steps.maps import *
from fastlogits.steps.penalties import *
from fastlogits.steps.repeats import *
from fastlogits.steps.sequences import *
from fastlogits.steps.thresholds import *
from fastlogits.steps.tokens import *
from fastlogits.steps.whole import *

__all__ = ["Step"]
__all__ += combine.__all__
__all__ += cuts.__all__
__all__ += distribution.__all__
__all__ += draws.__all__
__all__ += edits.__all__
__all__ += feedback.__all__
__all__ += lengths.__all__
__all__ += maps.__all__
__all__ += penalties.__all__
__all__ += repeats.__all__
__all__ += sequences.__all__
__all__ += thresholds.__all__
__all__ += tokens.__all__
__all__ += whole.__all__
