"""First steps of a pipeline that combine the logits with rows next to them, which come with each call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits._common import params
from fastlogits.steps.base import Step

__all__ = ["Contrastive", "DExperts", "Guidance"]


@dataclass(frozen=True, repr=False)
class Guidance(Step):
    """Classifier-free guidance: u + s (c - u), c the logits and u those without the prompt (or of a negative one).

    Must be the first step; u comes with the call as ``uncond=``, of the shape and type of the logits. -inf in c stays
    -inf; next to a finite c a -inf of u is followed to its limit: +inf, which is an error, where s > 1, c where s = 1,
    else -inf.

    Parameters
    ----------
    scale : float
        s, finite; 1 is log-softmax of the logits, or they themselves where space is "raw". The form c + s (c - u) of
        some models (Dia) has a scale one lower.
    space : "logprobs" or "raw"
        Whether both are log-softmaxed first (transformers' UnbatchedClassifierFreeGuidance) or mixed as they are.

    Notes
    -----
    Sanchez et al., "Stay on topic with Classifier-Free Guidance", 2023; Ho and Salimans, "Classifier-Free Diffusion
    Guidance", 2022.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.Guidance(1.5, space="raw"))
    >>> sampler.filter_logits([1.0, 1.0, 1.0], uncond=[1.0, 0.0, 1.5])
    array([1.  , 1.5 , 0.75])
    """

    name: ClassVar[str] = "guidance"
    beside: ClassVar[tuple[str, ...]] = ("uncond",)
    scale: Any
    space: Any = "logprobs"

    def __post_init__(self) -> None:
        self._set(
            scale=params.number("guidance_scale", self.scale, off=1.0),
            space=params.choice("guidance_space", self.space, ("logprobs", "raw")),
        )


@dataclass(frozen=True, repr=False)
class Contrastive(Step):
    """Contrastive decoding: log p_e - log p_a where p_e >= alpha max p_e, e the logits and a those of a weaker model.

    Must be the first step; a comes with the call as ``amateur=``, of the shape and type of the logits. What is less
    likely is banned. A -inf of a next to a plausible token makes +inf, which is an error.

    Parameters
    ----------
    alpha : float in [0, 1]
        Plausibility; 0 is off. 0.1 in the paper.
    beta : float >= 0 or None
        (1 + beta) log p_e - beta log p_a instead (O'Brien and Lewis, 2023, where beta is 0.5).

    Notes
    -----
    Li et al., "Contrastive Decoding: Open-ended Text Generation as Optimization", 2022.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.Contrastive(0.1))
    >>> sampler.candidates([3.0, 2.0, -2.0], amateur=[3.0, 1.0, -9.0]).ids
    array([1, 0])
    """

    name: ClassVar[str] = "contrastive"
    beside: ClassVar[tuple[str, ...]] = ("amateur",)
    alpha: Any = 0.1
    beta: Any = None

    def __post_init__(self) -> None:
        self._set(
            alpha=params.number("contrastive_alpha", self.alpha, 0.0, 1.0, off=0.0),
            beta=params.number("contrastive_beta", self.beta, 0.0, off=None),
        )


@dataclass(frozen=True, repr=False)
class DExperts(Step):
    """Decoding-time experts: b + alpha (e - a), b the logits, e and a those of an expert and of an anti-expert.

    Must be the first step; e and a come with the call as ``expert=`` and ``anti=``, of the shape and type of the
    logits. -inf in b or e stays -inf; a -inf of a alone is followed to its limit: +inf, an error, where alpha > 0.

    Parameters
    ----------
    alpha : float
        Finite; 0 leaves the logits as they are.

    Notes
    -----
    Liu et al., "DExperts: Decoding-Time Controlled Text Generation with Experts and Anti-Experts", 2021.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.DExperts(2.0))
    >>> sampler.filter_logits([1.0, 1.0], expert=[0.5, 0.0], anti=[0.0, 0.5])
    array([2., 0.])
    """

    name: ClassVar[str] = "d_experts"
    beside: ClassVar[tuple[str, ...]] = ("expert", "anti")
    alpha: Any

    def __post_init__(self) -> None:
        self._set(alpha=params.number("dexperts_alpha", self.alpha, off=0.0))
