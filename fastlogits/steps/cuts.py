"""Temperature and the usual cuts: greedy, top-k, top-p and min-p; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from fastlogits._common import params
from fastlogits._common.docs import shared
from fastlogits.steps.base import Step

__all__ = ["Greedy", "MinP", "Temperature", "TopK", "TopP"]


@dataclass(frozen=True, repr=False)
class Temperature(Step):
    """Divides the logits by the temperature; 0 keeps the first maximum alone (greedy).

    Parameters
    ----------
    temperature : float >= 0
        Finite; 1 is off. At 0 the maximum keeps its undivided logit.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Temperature(0.5)).filter_logits([2.0, -1.0, 3.0])
    array([ 4., -2.,  6.])
    """

    name: ClassVar[str] = "temperature"
    temperature: Any = 1.0

    def __post_init__(self) -> None:
        self._set(temperature=params.number(self.name, self.temperature, 0.0, off=1.0))


@dataclass(frozen=True, repr=False)
class Greedy(Step):
    """Keeps the first maximum alone.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Greedy()).sample([2.0, -1.0, 3.0])
    2
    """

    name: ClassVar[str] = "greedy"


@shared
@dataclass(frozen=True, repr=False)
class TopK(Step):
    """Keeps the k largest logits, ties broken by the smaller token id.

    Parameters
    ----------
    k : int >= -1 or None
        None, 0, -1 and k >= V are off.
    {min_keep}
    ties : "id" or "keep"
        "id" keeps exactly k; "keep" also keeps all tokens that equal the k-th value (Hugging Face's rule).
    joint : bool
        The masses before this cut are remembered for every later ``TopP(joint=True)``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopK(2)).filter_logits([2.0, -1.0, 3.0, 2.0])
    array([  2., -inf,   3., -inf])
    >>> fl.Sampler(fl.steps.TopK(2, ties="keep")).filter_logits([2.0, -1.0, 3.0, 2.0])
    array([  2., -inf,   3.,   2.])
    """

    name: ClassVar[str] = "top_k"
    k: Any
    min_keep: Any = 1
    ties: Any = "id"
    joint: Any = False

    def __post_init__(self) -> None:
        self._set(k=params.integer(self.name, self.k, -1, off=0))


@shared
@dataclass(frozen=True, repr=False)
class TopP(Step):
    """Keeps the smallest set of most likely tokens whose probability reaches p (nucleus sampling).

    The sum runs in double over the sorted survivors, renormalized; the token that reaches p is kept. Its terms are
    exponentials of float32 accuracy: where a prefix holds p to within 1e-7, the cut may fall on either side of the
    exact one, on every machine the same. float64 rows are cut by double exponentials.

    Parameters
    ----------
    p : float in [0, 1] or None
        None and 1 are off; 0 keeps one token.
    {min_keep}
    joint : bool
        Compares masses and their total as they stood at the plan's first joint cut, without renormalizing (the rule
        of SGLang and FlashInfer).
    strict : bool
        The probability must exceed p (the rule of OpenVINO GenAI and SGLang). Default False.

    Notes
    -----
    Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopP(0.8)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "top_p"
    p: Any
    min_keep: Any = 1
    joint: Any = False
    strict: Any = False

    def __post_init__(self) -> None:
        self._set(p=params.number(self.name, self.p, 0.0, 1.0, off=1.0))


@shared
@dataclass(frozen=True, repr=False)
class MinP(Step):
    """Keeps the tokens at least p times as likely as the most likely one: l >= max + ln p.

    Parameters
    ----------
    p : float in [0, 1] or None
        None and 0 are off.
    {min_keep}

    Notes
    -----
    Nguyen et al., "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs", 2024.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.MinP(0.1)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "min_p"
    p: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(p=params.number(self.name, self.p, 0.0, 1.0, off=0.0))
