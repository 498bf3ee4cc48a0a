"""Cuts at a probability or logit that follows from the distribution; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits._common import params
from fastlogits._common.docs import shared
from fastlogits.steps.base import Step

__all__ = ["EpsilonCutoff", "EtaCutoff", "PLess", "TopA", "TopNSigma"]


@shared
@dataclass(frozen=True, repr=False)
class EpsilonCutoff(Step):
    """Keeps the tokens with a probability of at least epsilon.

    Parameters
    ----------
    epsilon : float in [0, 1] or None
        None and 0 are off.
    {min_keep}

    Notes
    -----
    Hewitt et al., "Truncation Sampling as Language Model Desmoothing", 2022.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.EpsilonCutoff(0.1)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "epsilon_cutoff"
    epsilon: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(epsilon=params.number(self.name, self.epsilon, 0.0, 1.0, off=0.0))


@shared
@dataclass(frozen=True, repr=False)
class EtaCutoff(Step):
    """Keeps the tokens with a probability of at least eta = min(epsilon, sqrt(epsilon) exp(-H)), H the entropy in nats.

    Parameters
    ----------
    epsilon : float in [0, 1] or None
        None and 0 are off.
    {min_keep}

    Notes
    -----
    Hewitt et al., "Truncation Sampling as Language Model Desmoothing", 2022.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.EtaCutoff(0.1)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "eta_cutoff"
    epsilon: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(epsilon=params.number(self.name, self.epsilon, 0.0, 1.0, off=0.0))


@shared
@dataclass(frozen=True, repr=False)
class TopA(Step):
    """Keeps the tokens with a probability of at least a times the square of the largest one.

    Parameters
    ----------
    a : float in [0, 1] or None
        None and 0 are off.
    {min_keep}

    Notes
    -----
    KoboldAI, exllamav2 and text-generation-webui know it by this name.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopA(0.5)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "top_a"
    a: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(a=params.number(self.name, self.a, 0.0, 1.0, off=0.0))


@shared
@dataclass(frozen=True, repr=False)
class TopNSigma(Step):
    """Keeps the logits at most n standard deviations below the largest.

    The deviation is that of the survivors' logits, with n in the denominator.

    Parameters
    ----------
    n : float >= 0 or None
        None and 0 are off.
    {min_keep}

    Notes
    -----
    Tang et al., "Top-nsigma: Not All Logits Are You Need", 2024; as llama.cpp counts.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopNSigma(1.0)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "top_n_sigma"
    n: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(n=params.number(self.name, self.n, 0.0, off=0.0))


@shared
@dataclass(frozen=True, repr=False)
class PLess(Step):
    """Keeps the tokens with a probability of at least (sum p^k)^(1 / (k - 1)), k the order.

    At order 2 the threshold is the probability that two draws agree. The most likely token always stays.

    Parameters
    ----------
    order : float > 1 or None
        None is off. 2 is the form of the paper.
    {min_keep}

    Notes
    -----
    Tan et al., "p-less Sampling", arXiv 2509.23234.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.PLess(2.0)).filter_logits([2.0, -1.0, 3.0])
    array([-inf, -inf,   3.])
    """

    name: ClassVar[str] = "p_less"
    order: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(order=params.number(self.name, self.order, 1.0, off=None, open_low=True))
