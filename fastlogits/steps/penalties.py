"""Penalties of tokens already seen: repetition, frequency and presence; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits._common import params
from fastlogits._common.docs import shared
from fastlogits.steps.base import Step

__all__ = ["FrequencyPenalty", "PresencePenalty", "RepetitionPenalty"]


@dataclass(frozen=True, repr=False)
class RepetitionPenalty(Step):
    """Divides positive logits of tokens already seen by theta and multiplies the others by it.

    Once per distinct token of ``context[-window:]``: l > 0 ? l / theta : l * theta.

    Parameters
    ----------
    theta : float > 0
        1 is off; above 1 makes repetition less likely. Default 1.
    window : int >= 0 or None
        Only the last ``window`` tokens of the context count. None: all of them.
    prompt : bool
        Whether the first ``prompt_length`` tokens of the context count. Default True.
    decay : int >= 0
        Before the window theta falls linearly to 1 over this many tokens (exllamav2). r tokens after its last
        occurrence a token has 1 + (theta - 1) (1 - (r - window) / decay). 0: it ends with the window. Default 0.
    slope : float in [0, 1]
        Tokens that occur in the older half of the window only have 1 + (theta - 1) slope (koboldcpp). Default 1.

    Notes
    -----
    Keskar et al., "CTRL: A Conditional Transformer Language Model for Controllable Generation", 2019.

    Examples
    --------
    >>> import fastlogits as fl
    >>> row = [2.0, -1.0, 3.0, 0.5]
    >>> fl.Sampler(fl.steps.RepetitionPenalty(2.0)).filter_logits(row, context=[1, 2, 2])
    array([ 2. , -2. ,  1.5,  0.5])
    """

    name: ClassVar[str] = "repetition_penalty"
    theta: Any = 1.0
    window: Any = None
    prompt: Any = True
    decay: Any = 0
    slope: Any = 1.0

    def __post_init__(self) -> None:
        self._set(
            theta=params.number("repetition_penalty", self.theta, 0.0, off=1.0, open_low=True),
            window=params.integer("penalty_window", self.window, 0, off=None),
            prompt=params.flag("penalty_prompt", self.prompt, off=True),
            decay=params.integer("penalty_decay", self.decay, 0, off=0),
            slope=params.number("penalty_slope", self.slope, 0.0, 1.0, off=1.0),
        )


@dataclass(frozen=True, repr=False)
class _Counted(Step):
    """A penalty by how often a token occurs."""

    alpha: Any = 0.0
    window: Any = None
    prompt: Any = False

    def __post_init__(self) -> None:
        self._set(
            alpha=params.number(self.name, self.alpha, off=0.0),
            window=params.integer("penalty_window", self.window, 0, off=None),
            prompt=params.flag("penalty_prompt", self.prompt, off=False),
        )


@shared
@dataclass(frozen=True, repr=False)
class FrequencyPenalty(_Counted):
    """Lowers the logit of a token by alpha for each time it occurs.

    l - count * alpha, counting ``context[prompt_length:][-window:]`` (OpenAI's parameter of that name).

    Parameters
    ----------
    alpha : float
        Finite; 0 is off. Default 0.
    {counted}

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.FrequencyPenalty(0.5)).filter_logits([2.0, -1.0, 3.0], context=[1, 2, 2])
    array([ 2. , -1.5,  2. ])
    """

    name: ClassVar[str] = "frequency_penalty"


@shared
@dataclass(frozen=True, repr=False)
class PresencePenalty(_Counted):
    """Lowers the logit of a token by alpha if it occurs at all.

    l - alpha where ``context[prompt_length:][-window:]`` holds the token (OpenAI's parameter of that name).

    Parameters
    ----------
    alpha : float
        Finite; 0 is off. Default 0.
    {counted}

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.PresencePenalty(0.5)).filter_logits([2.0, -1.0, 3.0], context=[1, 2, 2])
    array([ 2. , -1.5,  2.5])
    """

    name: ClassVar[str] = "presence_penalty"
