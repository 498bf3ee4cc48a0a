"""Cuts by the shape of the sorted distribution: entropy, bends, steps, top choices; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastlogits._common import params
from fastlogits._common.docs import shared
from fastlogits.steps.base import Step
from fastlogits.steps.operands import Lists, token_ids

__all__ = ["EES", "MinK", "Tfs", "TopH", "TypicalP", "Xtc"]


@shared
@dataclass(frozen=True, repr=False)
class Tfs(Step):
    """Cuts the tail where the sorted probabilities stop bending (tail free sampling).

    b_i = |p_i - 2 p_(i+1) + p_(i+2)| over the sorted survivors, divided by their sum (equal shares if that is at most
    1e-6). The i first stay; i >= min_keep is the first index at which the running sum exceeds z. Up to two
    survivors, or if there is no such index, all stay.

    Parameters
    ----------
    z : float in [0, 1] or None
        None and 1 are off.
    {min_keep}

    Notes
    -----
    The cut point of koboldcpp and of llama.cpp's former sampler of this name; other systems keep one more.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Tfs(0.5)).filter_logits([2.0, -1.0, 3.0, 0.0])
    array([-inf, -inf,   3., -inf])
    """

    name: ClassVar[str] = "tfs"
    z: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(z=params.number(self.name, self.z, 0.0, 1.0, off=1.0))


@shared
@dataclass(frozen=True, repr=False)
class TopH(Step):
    """Keeps the most likely tokens while their share of the entropy stays within h.

    Looks at the 100 most likely, q being their probabilities among themselves: the longest prefix whose sum of -q ln q
    is at most h times that of all of them; the first always stays. Tokens more than 1020 ln 2, about 707, below it have
    probability 0 in double and never stay.

    Parameters
    ----------
    h : float in [0, 1] or None
        None is off.
    {min_keep}

    Notes
    -----
    Baghaei Potraghloo et al., "Top-H Decoding", 2025; as transformers does it.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopH(0.5)).filter_logits([2.0, -1.0, 3.0])
    array([-inf, -inf,   3.])
    """

    name: ClassVar[str] = "top_h"
    h: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(h=params.number(self.name, self.h, 0.0, 1.0, off=None))


@shared
@dataclass(frozen=True, repr=False)
class MinK(Step):
    """Keeps the k most likely tokens, k being where the sorted logits fall most steeply.

    k = max(argmax_i (l_(i-1) - l_i) / i, floor(tau / (max - min))) over the sorted survivors, i counted from 1. Equal
    logits all stay.

    Parameters
    ----------
    tau : float >= 0 or None
        None is off.
    {min_keep}

    Notes
    -----
    arXiv 2604.11012.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.MinK(1.0)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "min_k"
    tau: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(tau=params.number(self.name, self.tau, 0.0, off=None))


@shared
@dataclass(frozen=True, repr=False)
class TypicalP(Step):
    """Keeps the tokens whose surprise lies nearest to the entropy (locally typical sampling).

    Sorted by |-ln p - H|, then as ever by logit and id, the smallest prefix whose probability reaches p.

    Parameters
    ----------
    p : float in [0, 1] or None
        None and 1 are off; 0 keeps one token.
    {min_keep}
    ties : "id" or "keep"
        With "keep" also what is as far from the entropy as the last one kept (transformers' rule). Default "id".
    strict : bool
        The probability must exceed p (llama.cpp's rule). Default False.

    Notes
    -----
    Meister et al., "Locally Typical Sampling", 2022.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TypicalP(0.5)).filter_logits([2.0, -1.0, 3.0])
    array([-inf, -inf,   3.])
    """

    name: ClassVar[str] = "typical_p"
    p: Any
    min_keep: Any = 1
    ties: Any = "id"
    strict: Any = False

    def __post_init__(self) -> None:
        self._set(p=params.number(self.name, self.p, 0.0, 1.0, off=1.0))


@shared
@dataclass(frozen=True, repr=False)
class Xtc(Step):
    """Sometimes removes the top choices: all tokens that reach a threshold but the least likely one.

    It fires with the given probability, by its own random number (see `Sampler.sample`), and only if at least
    `min_keep` tokens remain.

    Parameters
    ----------
    probability : float in [0, 1] or None
        How often it fires. None and 0 are off.
    threshold : float in [0, 1]
        Tokens with at least this probability are top choices. Default 0.1; above 0.5 nothing is ever removed.
    special_tokens : sequence of token ids
        Never removed (mlx-lm's ``xtc_special_tokens``). Default none.
    {min_keep}
    ties : "id" or "keep"
        With "keep" all that equal the least likely top choice stay (mlx-lm's rule). Default "id": the last of them.
    strict : bool
        Top choices exceed the threshold (mlx-lm's rule). Default False.

    Notes
    -----
    Proposed by p-e-w for text-generation-webui, 2024.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Xtc(1.0, 0.2)).filter_logits([2.0, -1.0, 3.0], rng=7)
    array([  2.,  -1., -inf])
    """

    name: ClassVar[str] = "xtc"
    random: ClassVar[bool] = True
    probability: Any
    threshold: Any = 0.1
    special_tokens: Any = ()
    min_keep: Any = 1
    ties: Any = "id"
    strict: Any = False

    def __post_init__(self) -> None:
        self._set(
            probability=params.number("xtc_probability", self.probability, 0.0, 1.0, off=0.0),
            threshold=params.number("xtc_threshold", self.threshold, 0.0, 1.0, off=0.1),
            special_tokens=token_ids("xtc_special_tokens", self.special_tokens),
        )

    def _lists(self) -> Lists | None:
        ids = self.special_tokens
        return Lists("xtc_special_tokens", np.array(ids, np.int64)) if ids else None


@shared
@dataclass(frozen=True, repr=False)
class EES(Step):
    """Keeps the most likely tokens up to where they are as certain as they are probable (entropy equilibrium).

    Over the sorted survivors, i = 2, 3, ...: m is the probability of the first i, h their entropy among themselves
    divided by ln i. At the first i with h < m - 1e-9 the i - 1 first tokens stay; without such an i all do, as on a
    uniform row.

    Parameters
    ----------
    enabled : bool, or one per row
        Default True.
    {min_keep}

    Notes
    -----
    "Entropy Equilibrium Sampling", arXiv 2512.00789, 2025; it has no parameter.

    Examples
    --------
    >>> import fastlogits as fl
    >>> import numpy as np
    >>> fl.probs(np.log([0.6, 0.2, 0.1, 0.05, 0.05]), ees=True).round(2)
    array([0.75, 0.25, 0.  , 0.  , 0.  ])
    >>> fl.candidates(np.log([0.97, 0.01, 0.01, 0.01]), ees=True).ids
    array([0])
    >>> fl.candidates(np.zeros(7), ees=True).ids.size
    7
    """

    name: ClassVar[str] = "ees"
    enabled: Any = True
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(enabled=params.flag(self.name, self.enabled))
