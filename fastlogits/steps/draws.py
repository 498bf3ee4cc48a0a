"""How the token is drawn; see `fastlogits.steps`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastlogits.steps.base import Step

__all__ = ["Draw", "Gumbel"]


@dataclass(frozen=True, repr=False)
class Draw(Step):
    """Draws the token: the first survivor in id order whose running mass exceeds u * total. Must be the last step.

    `Sampler.sample` draws without it as well; written out it marks the end of a list of steps.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopK(1), fl.steps.Draw()).sample([2.0, -1.0, 3.0], rng=7)
    2
    """

    name: ClassVar[str] = "draw"


@dataclass(frozen=True, repr=False)
class Gumbel(Step):
    """Draws by Gumbel-max: the token with the largest l_i - ln e_i, e_i ~ Exp(1). Replaces `Draw`.

    Each token of a row has its own noise, a function of (seed, key, position, id) alone. So a filter that leaves
    the drawn token alive does not change the draw, and rows that are alike mostly draw alike under one seed. Shards of
    a vocabulary are merged by a maximum (`fastlogits.gumbel_max`). Equal values: the lower id. Where the largest logit
    is 2^20 or more away from 0, logits count from it before noise is added, so the draw is right for any magnitude.

    Notes
    -----
    Gumbel, "Statistical Theory of Extreme Values and Some Practical Applications", 1954; Maddison, Tarlow and Minka,
    "A* Sampling", 2014, for noise made from the top down: the least e of 256 tokens comes first, and of most blocks
    no other is ever made. Where nothing asks for probabilities one scan of the row is enough.

    Examples
    --------
    >>> import fastlogits as fl
    >>> row = [2.0, -1.0, 3.0, 1.0]
    >>> fl.Sampler(fl.steps.Gumbel()).sample(row, rng=7) == fl.sample(row, rng=7, draw="gumbel")
    True
    >>> fl.sample(row, rng=7, draw="gumbel") == fl.sample(row, rng=7, draw="gumbel", logit_bias={1: -5.0})
    True
    """

    name: ClassVar[str] = "gumbel"
