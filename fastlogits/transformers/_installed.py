"""The classes of the installed transformers, and stand-ins for those that it lacks."""

from __future__ import annotations

from typing import Any

from transformers.generation import logits_process

#: transformers' classes for audio and for watermarks, which are not here.
LEFT_OUT = (
    "AlternatingCodebooksLogitsProcessor", "BarkEosPrioritizerLogitsProcessor",
    "DiaClassifierFreeGuidanceLogitsProcessor", "DiaEOSChannelFilterLogitsProcessor",
    "DiaEOSDelayPatternLogitsProcessor", "SynthIDTextWatermarkLogitsProcessor", "WatermarkLogitsProcessor",
    "WhisperNoSpeechDetection", "WhisperTimeStampLogitsProcessor",
)  # fmt: skip


class Absent:
    """Base of the stand-in for a class that the installed transformers lacks."""


class _Theirs:
    """transformers' classes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(logits_process, name) if hasattr(logits_process, name) else type(name, (Absent,), {})


theirs: Any = _Theirs()
