"""Processors that follow each other: neighbours that we know as one Sampler, others called in their places."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch

from fastlogits import _inputs
from fastlogits import steps as s
from fastlogits.sampler import Sampler

Tensor = Any


class Rows(NamedTuple):
    """What steps may depend on beside their processor: the shape of the scores and whether they are doubles."""

    size: int
    n: int
    double: bool

    def number(self, x: Any) -> float:
        """A number as torch puts it beside these scores: in float32 but for doubles."""
        return float(x) if self.double else float(np.float32(x))

    def tokens(self, ids: Any) -> list[int]:
        """Those of some token ids that the scores have."""
        return [i for i in torch.as_tensor(ids).reshape(-1).tolist() if 0 <= i < self.n]


class Plan(NamedTuple):
    """Steps, and the prompt_length that they count by; None: they do not."""

    steps: tuple[s.Step, ...]
    prompt_length: Any = None


#: The class that knows the steps, by transformers' class and by itself.
KNOWN: dict[type, Any] = {}


class Steered:
    """Base of our classes, before transformers' class of the same name, whose constructor they keep.

    `steps` reads nothing but attributes that transformers' own objects have, so it serves these, too.
    """

    def __init_subclass__(cls) -> None:
        KNOWN[cls] = cls
        KNOWN.setdefault(next(base for base in cls.__bases__ if base is not Steered), cls)

    def steps(self, rows: Rows) -> Plan | None:
        """Steps for scores of this shape; None where `__call__` does it all."""
        raise NotImplementedError

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The processed scores [B, V] in a new tensor.

        Parameters
        ----------
        input_ids : integer tensor [B, L]
            The tokens so far.
        scores : CPU tensor [B, V] of float32, float16, bfloat16 or float64
            Read in place, left as they are.

        Returns
        -------
        Tensor [B, V]

        Raises
        ------
        ValueError, TypeError
            Another shape, device or type; a gradient; a row with NaN or +inf or without a finite score.
        """
        chain = self.__dict__.get("_chain")
        if chain is None or chain.processors[0] is not self:
            chain = self.__dict__["_chain"] = Chain([self])
        return chain(input_ids, scores)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_chain"}


class Run(NamedTuple):
    """Neighbours as one Sampler."""

    sampler: Sampler
    prompt_length: Any

    def arguments(self, input_ids: Tensor) -> dict[str, Any]:
        """What a call of the Sampler takes beside the scores."""
        start = 0 if self.prompt_length is None else self.prompt_length
        return {"context": input_ids.numpy(), "prompt_length": start}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores behind its steps."""
        out = torch.empty(scores.shape, dtype=scores.dtype)
        self.sampler.filter_logits(checked(scores), out=out, **self.arguments(input_ids))
        return out


class Filled(NamedTuple):
    """One filter that puts a finite value where it removes."""

    run: Run
    value: float
    own: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores behind it; what was -inf before is for transformers to judge."""
        if torch.isneginf(scores).any():
            return self.own(input_ids, scores)
        found = self.run(input_ids, scores)
        return found.masked_fill_(torch.isneginf(found), self.value)


class Chain:
    """Processors called one after the other, prepared anew when the shape or an attribute changes."""

    def __init__(self, processors: Iterable[Any]) -> None:
        self.processors = list(processors)
        self._known = [(processor, knows(processor)) for processor in self.processors]
        self._seen: list[Any] = []
        self._rows: Rows | None = None
        self._parts: list[Any] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The processed scores."""
        for part in self.parts(scores):
            scores = part(input_ids, scores)
        return scores

    def draw(self, input_ids: Tensor, scores: Tensor, seed: int, processed: bool) -> tuple[Tensor, Tensor]:
        """The tokens drawn from the processed scores, and these scores, or with `processed` false any of the shape."""
        parts = self.parts(scores)
        last = parts[-1] if parts and isinstance(parts[-1], Run) else Run(Sampler(), None)
        for part in parts[:-1] if parts and last is parts[-1] else parts:
            scores = part(input_ids, scores)
        ids = last.sampler.sample(checked(scores), rng=seed, **last.arguments(input_ids))
        if processed and last.sampler.steps:
            scores = last(input_ids, scores)
        return torch.as_tensor(ids), scores

    def parts(self, scores: Tensor) -> list[Any]:
        """What runs, in order."""
        x = checked(scores)
        rows = Rows(x.shape[0], x.shape[1], x.dtype == np.float64)
        seen = [value for processor, ours in self._known if ours for value in attributes(processor)]
        same = len(seen) == len(self._seen) and all(a is b for a, b in zip(seen, self._seen, strict=True))
        if rows != self._rows or not same:
            self._parts = self._made(rows)
            self._rows, self._seen = rows, seen
        return self._parts

    def _made(self, rows: Rows) -> list[Any]:
        """The parts for scores of this shape; neighbours join unless they count by different prompt lengths."""
        parts: list[Any] = []
        for processor, ours in self._known:
            plan = processor if isinstance(processor, Plan) else ours and ours.steps(processor, rows)
            value = getattr(processor, "filter_value", -math.inf)
            if plan is None:
                parts.append(ours.__call__.__get__(processor) if ours else processor)
            elif value != -math.inf:
                own = next(base for base in ours.__bases__ if base is not Steered).__call__.__get__(processor)
                parts.append(Filled(Run(Sampler(*plan.steps), plan.prompt_length), value, own))
            elif parts and isinstance(parts[-1], Run) and joins(parts[-1], plan):
                before = parts.pop()
                start = plan.prompt_length if before.prompt_length is None else before.prompt_length
                parts.append(Run(Sampler(*before.sampler.steps, *plan.steps), start))
            else:
                parts.append(Run(Sampler(*plan.steps), plan.prompt_length))
        return parts


def joins(run: Run, plan: Plan) -> bool:
    """Whether a plan's steps may follow in the same Sampler."""
    first = bool(plan.steps) and isinstance(plan.steps[0], s.RemoveInvalidValues)
    alike = run.prompt_length is None or plan.prompt_length is None or run.prompt_length is plan.prompt_length
    return alike and not first


def knows(processor: Any) -> Any:
    """The class that knows the steps of a processor, unless a subclass goes its own way; else None."""
    kind = type(processor)
    found = next((each for each in kind.__mro__ if each in KNOWN), None)
    return KNOWN[found] if found is not None and kind.__call__ is found.__call__ else None


def attributes(processor: Any) -> list[Any]:
    """Values that its steps may depend on."""
    return [value for name, value in vars(processor).items() if name != "_chain"]


def checked(scores: Tensor) -> Any:
    """The memory of scores [B, V]."""
    if not isinstance(scores, torch.Tensor):
        raise TypeError(f"scores must be a torch tensor, got {type(scores).__name__}")
    if scores.ndim != 2:
        raise ValueError(f"scores must be [batch, vocabulary], got shape {list(scores.shape)}")
    return _inputs.plain_array("scores", scores)
