"""Steps that govern the draw: by the tokens drawn before (mirostat, adaptive-p), or by its random number (skew)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits._common import params
from fastlogits._common.docs import shared
from fastlogits.steps.base import Step

__all__ = ["AdaptiveP", "Mirostat", "Skew"]


@shared
@dataclass(frozen=True, repr=False)
class Mirostat(Step):
    """Steers the surprise of the drawn tokens, -log2 p in bits, towards tau.

    Version 2 keeps the tokens with -log2 p <= mu. Version 1 keeps the k most likely, k = (e 2^mu / (1 - V^-e))^(1 / s)
    rounded down. s, the exponent of Zipf's law, comes from the 100 most likely: with t_i = ln((i + 2) / (i + 1)) and
    b_i = ln(p_i / p_(i + 1)), s = sum t_i b_i / sum t_i^2; e = s - 1, and V is the length of the row.

    mu is 2 tau at first. A drawn token of surprise S, by its probability among what it was drawn from, makes it
    mu - eta (S - tau). A state remembers mu; without one it stays 2 tau.

    Parameters
    ----------
    version : 0, 1, 2 or None
        None and 0 are off.
    tau : float >= 0
        The surprise aimed at, in bits. Default 5.
    eta : float >= 0
        How fast mu follows. Default 0.1.
    {min_keep}

    Notes
    -----
    Basu et al., "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity", 2021; names, defaults
    and the 100 are those of llama.cpp.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Mirostat(2, tau=1.0)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "mirostat"
    version: Any
    tau: Any = 5.0
    eta: Any = 0.1
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(
            version=params.integer("mirostat", self.version, 0, 2, off=0),
            tau=params.number("mirostat_tau", self.tau, 0.0, off=5.0),
            eta=params.number("mirostat_eta", self.eta, 0.0, off=0.1),
        )


@dataclass(frozen=True, repr=False)
class AdaptiveP(Step):
    """Prefers tokens whose probability lies near a target, which moves so that the drawn ones have it on average.

    Logits become 5 - 10 d^2 / (1 + d) with d = |p - a| / 0.3 and a = clamp(2 target - weighted sum / weight, 0, 1).
    Weighted sum and weight are target / (1 - decay) and 1 / (1 - decay) at first; a token drawn whose probability was p
    before this step makes them p + decay * weighted sum and 1 + decay * weight. A state remembers both; without one a
    is the target. It belongs after steps that remove unlikely tokens.

    Parameters
    ----------
    target : float in [0, 1] or None
        The probability aimed at. None is off.
    decay : float in [0, 0.99]
        How long drawn tokens count. Default 0.9.

    Notes
    -----
    The sampler of this name in llama.cpp and text-generation-webui.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopK(2), fl.steps.AdaptiveP(0.5)).probs([1.0, 1.0, -2.0])
    array([0.5, 0.5, 0. ])
    """

    name: ClassVar[str] = "adaptive_p"
    target: Any
    decay: Any = 0.9

    def __post_init__(self) -> None:
        self._set(
            target=params.number("adaptive_target", self.target, 0.0, 1.0, off=None),
            decay=params.number("adaptive_decay", self.decay, 0.0, 0.99, off=0.9),
        )


@dataclass(frozen=True, repr=False)
class Skew(Step):
    """Raises the draw's random number to the power exp(-skew); above 0 it prefers tokens of high ids, below it of low.

    The draw goes through the survivors in token-id order, so the skew is one along the ids: the running mass F of the
    tokens becomes F^exp(skew). Probabilities, logits and candidates are those before the skew. Several add up.

    Parameters
    ----------
    skew : float or None
        None and 0 are off.

    Notes
    -----
    exllamav2's ``skew``, which goes through its list in the order at hand, often from the most likely token down;
    Aphrodite's goes by token id, as here.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.sample([1.0, 1.0, 1.0], rng=7, skew=50.0), fl.sample([1.0, 1.0, 1.0], rng=7, skew=-50.0)
    (2, 0)
    """

    name: ClassVar[str] = "skew"
    skew: Any

    def __post_init__(self) -> None:
        self._set(skew=params.number(self.name, self.skew, off=0.0))
