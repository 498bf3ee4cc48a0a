"""Warnings, once per Sampler: steps that do nothing without a context, steps that forget without a state."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

import fastlogits._core as _core
from fastlogits.sampling.keywords import OFF

if TYPE_CHECKING:
    from fastlogits.sampling.prepare import Prepared

#: Steps that do nothing as long as there are no tokens; the two of lists only if no sequence is a single token.
_IDLE = frozenset((
    "repetition_penalty", "frequency_penalty", "presence_penalty", "dry", "no_repeat_ngram", "encoder_no_repeat_ngram",
    "exponential_decay_length_penalty", "bad_words", "sequence_bias",
))  # fmt: skip
_FORGETS = frozenset(("mirostat", "adaptive_p"))


def reminders(steps: Sequence[Prepared]) -> int:
    """What calls of a Sampler of these steps are to be warned of: `_core.IDLE`, `_core.FORGETS`."""
    idle, forgets = (_names(steps, bit) for bit in (_core.IDLE, _core.FORGETS))
    return (_core.IDLE if idle else 0) | (_core.FORGETS if forgets else 0)


def _names(steps: Sequence[Prepared], bit: int) -> list[str]:
    """Names of the steps that one of the two warnings is about."""
    if bit == _core.FORGETS:
        return [step.name for step in steps if step.name in _FORGETS and _on(step)]
    return [step.name for step in steps if step.name in _IDLE and _waits(step)]


def _waits(step: Prepared) -> bool:
    """Whether a step of `_IDLE` does nothing without tokens, but something with them."""
    if step.name in ("bad_words", "sequence_bias"):
        offsets = None if step.lists is None else step.lists.offsets
        return offsets is not None and offsets.size > 1 and bool((np.diff(offsets) > 1).all())
    if step.name == "exponential_decay_length_penalty":
        return step.second is not None and bool((step.second != 1.0).any())
    if step.name == "encoder_no_repeat_ngram":
        return bool((step.value > 1).any())
    return _on(step)


def _on(step: Prepared) -> bool:
    """Whether the first number of a step turns it on in some row; NaN stands for None."""
    return bool(((step.value != OFF[step.name]) & ~np.isnan(step.value)).any())


def warn(steps: Sequence[Prepared], due: int) -> None:
    """Warns the caller outside this package of what is ``due``."""
    if due & _core.IDLE:
        names = ", ".join(dict.fromkeys(_names(steps, _core.IDLE)))
        _warn(
            f"{names} cannot act: neither context= nor state= was passed; pass the tokens so far as context=, or "
            "context=[] if there are none yet"
        )
    if due & _core.FORGETS:
        names = ", ".join(dict.fromkeys(_names(steps, _core.FORGETS)))
        _warn(
            f"{names} cannot adapt: no state= was passed, so every call starts anew; make state = "
            "sampler.state(context), pass state=state to each call and give it each token by state.accept(token)"
        )


def _warn(message: str) -> None:
    """A UserWarning at the line that called this package."""
    level, frame = 3, sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "fastlogits":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)
