"""Processors that follow each other: neighbors that we know as one Sampler, others called in their places."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch

import fastlogits._core as _core
from fastlogits import steps as s
from fastlogits._common import inputs as _inputs
from fastlogits.sampling.sampler import Sampler
from fastlogits.transformers._seen import Read, Seen

Tensor = Any


class Rows(NamedTuple):
    """What steps may depend on next to their processor: the shape of the scores and whether they are doubles."""

    size: int
    n: int
    double: bool

    def number(self, x: Any) -> float:
        """A number as torch puts it next to these scores: in float32 but for doubles."""
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

    `steps` and `work` read nothing but attributes that transformers' own objects have, so they serve these, too.
    """

    attributes: ClassVar[frozenset[str]]  # those that transformers' objects may have

    def __init_subclass__(cls, attributes: str = "") -> None:
        if Steered in cls.__bases__:
            cls.attributes = frozenset(attributes.split())
            KNOWN[cls] = KNOWN[next(base for base in cls.__bases__ if base is not Steered)] = cls

    def steps(self, rows: Rows) -> Plan | None:
        """Steps for scores of this shape; None where `work` does it all.

        Made anew only when an attribute that it read has changed: `self` is a `Read`.
        """
        raise NotImplementedError

    def work(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The processed scores, where there are no steps."""
        raise NotImplementedError

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The processed scores [B, V] in a new tensor.

        Parameters
        ----------
        input_ids : integer tensor [B, L]
            The tokens so far.
        scores : CPU tensor [B, V] of float32, float16, bfloat16 or float64
            Read in place, left as they are. Scores of three axes go to transformers' own code, as a copy.

        Returns
        -------
        Tensor [B, V]

        Raises
        ------
        ValueError, TypeError
            Another shape, device or type; a gradient, unless under ``torch.no_grad()``; a row with NaN or +inf or
            without a finite score; no ``input_ids`` where the processor looks at them.
        """
        chain = self.__dict__.get("_chain")
        if chain is None or chain.processors[0] is not self:
            chain = self.__dict__["_chain"] = Chain([self], nearest)
        return chain(input_ids, scores)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_chain"}


#: Steps that look at the scores alone.
_BLIND = (
    s.Temperature, s.TopK, s.TopP, s.TopH, s.MinP, s.TypicalP, s.EpsilonCutoff, s.EtaCutoff, s.SuppressTokens,
    s.EncoderRepetitionPenalty, s.RemoveInvalidValues, s.RenormalizeLogits, s.Greedy,
)  # fmt: skip


class Run(NamedTuple):
    """Neighbors as one Sampler."""

    sampler: Sampler
    prompt_length: Any
    start: Any  # where the output begins, for steps that ask
    blind: bool  # no step looks at the tokens

    @classmethod
    def of(cls, steps: Iterable[s.Step], prompt_length: Any = None) -> Run:
        """The run of some steps."""
        steps = tuple(steps)
        start = 0 if prompt_length is None else prompt_length
        return cls(Sampler(*steps), prompt_length, start, all(isinstance(step, _BLIND) for step in steps))

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores after its steps."""
        found = self._at_once(input_ids, scores, None)
        return self._done(self._filtered, input_ids, scores)[:, : scores.shape[1]] if found is None else found

    def draw(self, input_ids: Tensor, scores: Tensor, seed: int) -> Tensor:
        """Tokens drawn from the scores after its steps."""
        found = self._at_once(input_ids, scores, seed)
        if found is None:
            found = torch.from_numpy(self._done(functools.partial(self._drawn, seed), input_ids, scores))
        return found

    def _at_once(self, input_ids: Tensor, scores: Tensor, seed: int | None) -> Any:
        """Either for one row in one call; None where that does not do, as where something is wrong."""
        context = None
        if input_ids is not None:
            ids = _core.tensor_array(input_ids) if isinstance(input_ids, torch.Tensor) else None
            if ids is None or ids.ndim != 2 or len(ids) != 1:
                return None
            context = ids[0]
        elif not self.blind:
            return None
        if not isinstance(scores, torch.Tensor) or scores.ndim != 2:
            return None
        return self.sampler.run_tensor(scores, context, self.start, seed)

    def _context(self, input_ids: Tensor) -> Any:
        """The tokens so far, by whose number a draw is placed; None where there are none and no step looks at them."""
        return None if input_ids is None and self.blind else given_ids(input_ids).numpy()

    def _drawn(self, seed: int, input_ids: Tensor, scores: Tensor) -> Any:
        """Of scores that have every token, [B]."""
        x, context = checked(scores), self._context(input_ids)
        if len(x) == 1:
            context = None if context is None else context[0]
            return np.array([self.sampler.sample(x[0], rng=seed, context=context, prompt_length=self.start)])
        return self.sampler.sample(x, rng=seed, context=context, prompt_length=self.start)

    def _filtered(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Of scores that have every token."""
        out = torch.empty(scores.shape, dtype=scores.dtype)
        self.sampler.filter_logits(checked(scores), out=out, context=self._context(input_ids), prompt_length=self.start)
        return out

    def _done(self, call: Callable[[Tensor, Tensor], Any], input_ids: Tensor, scores: Tensor) -> Any:
        """The call; placeholders of images and the like, tokens that the scores lack, stand after them, banned."""
        try:
            return call(input_ids, scores)
        except ValueError:
            if input_ids is None:
                raise
            n = scores.shape[1]
            outside = (input_ids < 0) | (input_ids >= n)
            if not outside.any():
                raise
            call(input_ids.clamp(0, n - 1), scores)  # refuses what else is wrong
        found, places = torch.unique(input_ids[outside], return_inverse=True)
        ids, banned = input_ids.clone(), torch.full((len(scores), len(found)), -math.inf, dtype=scores.dtype)
        ids[outside] = n + places
        return call(ids, torch.cat([scores, banned], dim=1))


_PLAIN = Run.of(())


class Filled(NamedTuple):
    """One filter that puts a finite value where it removes."""

    run: Run
    value: float
    own: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores after it; what was -inf before is for transformers to judge."""
        if torch.isneginf(scores).any():
            return self.own(input_ids, scores)
        found = self.run(input_ids, scores)
        return found.masked_fill_(torch.isneginf(found), self.value)


class Chain:
    """Processors called one after the other, prepared anew when the shape or an attribute changes."""

    def __init__(self, processors: Iterable[Any], known: Callable[[Any], Any] | None = None) -> None:
        self.processors = list(processors)
        self._known = [(processor, (known or knows)(processor)) for processor in self.processors]
        self._seen = Seen()
        self._shape: Any = None
        self._dtype: Any = None
        self._parts: list[Any] = []

    def __reduce__(self) -> Any:
        return Chain, (self.processors,)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The processed scores."""
        for part in self.parts(scores):
            scores = part(input_ids, scores)
        return scores

    def draw(self, input_ids: Tensor, scores: Tensor, seed: int, processed: bool) -> tuple[Tensor, Tensor]:
        """The tokens drawn from the processed scores, and these scores, or with `processed` false any of the shape."""
        parts = self.parts(scores)
        last = parts[-1] if parts and isinstance(parts[-1], Run) else _PLAIN
        for part in parts[:-1] if parts and last is parts[-1] else parts:
            scores = part(input_ids, scores)
        if processed and last.sampler.steps:
            scores, last = last(input_ids, scores), _PLAIN
        return last.draw(input_ids, scores, seed), scores

    def parts(self, scores: Tensor) -> list[Any]:
        """What runs, in order."""
        shape, dtype = scores.shape, scores.dtype
        if shape != self._shape or dtype is not self._dtype or not self._seen.holds():
            self._shape = None  # until all parts are made
            if len(shape) == 3 and not any(isinstance(processor, Plan) for processor in self.processors):
                self._seen = Seen()
                self._parts = [_copied, *(theirs(*each) for each in self._known)]
            else:
                x = checked(scores)
                self._parts = self._made(Rows(x.shape[0], x.shape[1], x.dtype == np.float64))
            self._shape, self._dtype = shape, dtype
        return self._parts

    def _made(self, rows: Rows) -> list[Any]:
        """The parts for scores of this shape; neighbors join unless they count by different prompt lengths."""
        parts: list[Any] = []
        self._seen = Seen()
        for processor, ours in self._known:
            if ours and not vars(processor).keys() - _OURS <= ours.attributes:
                parts.append(theirs(processor, ours))
                continue
            read = Read(processor, self._seen)
            plan = processor if isinstance(processor, Plan) else ours and ours.steps(read, rows)
            value = getattr(read, "filter_value", -math.inf) if plan else -math.inf
            if plan is None:
                parts.append(ours.work.__get__(processor) if ours else processor)
            elif value != -math.inf:
                parts.append(Filled(Run.of(*plan), value, theirs(processor, ours)))
            elif parts and isinstance(parts[-1], Run) and joins(parts[-1], plan):
                before = parts.pop()
                start = plan.prompt_length if before.prompt_length is None else before.prompt_length
                parts.append(Run.of((*before.sampler.steps, *plan.steps), start))
            else:
                parts.append(Run.of(*plan))
        return parts


#: What our objects have besides the attributes of transformers'.
_OURS = frozenset(("_chain",))


def theirs(processor: Any, ours: Any) -> Any:
    """Transformers' own code for a processor whose steps we know, an unknown processor itself."""
    if not ours:
        return processor
    return next(base for base in ours.__bases__ if base is not Steered).__call__.__get__(processor)


def _copied(input_ids: Tensor, scores: Tensor) -> Tensor:
    """Scores that transformers' own code may change."""
    return scores.clone()


def joins(run: Run, plan: Plan) -> bool:
    """Whether a plan's steps may follow in the same Sampler."""
    first = bool(plan.steps) and isinstance(plan.steps[0], s.RemoveInvalidValues)
    alike = run.prompt_length is None or plan.prompt_length is None or run.prompt_length is plan.prompt_length
    return alike and not first


def nearest(processor: Any) -> Any:
    """The class that knows the steps of a processor as far as it is one of ours or transformers'; else None."""
    return next((KNOWN[each] for each in type(processor).__mro__ if each in KNOWN), None)


def knows(processor: Any) -> Any:
    """The same, unless a subclass goes its own way."""
    found = next((each for each in type(processor).__mro__ if each in KNOWN), None)
    return KNOWN[found] if found is not None and type(processor).__call__ is found.__call__ else None


def given_ids(input_ids: Tensor) -> Tensor:
    """Token ids [B, L], which must be there."""
    if not isinstance(input_ids, torch.Tensor):
        raise TypeError(f"input_ids must be a tensor of token ids [batch, length], got {type(input_ids).__name__}")
    return input_ids


def checked(scores: Tensor) -> Any:
    """The memory of scores [B, V]."""
    plain = type(scores) is torch.Tensor and scores.dtype is torch.float32 and scores.is_cpu
    if plain and scores.ndim == 2:
        found = _core.tensor_array(scores)
        if found is not None:
            return found
    if not isinstance(scores, torch.Tensor):
        raise TypeError(f"scores must be a torch tensor, got {type(scores).__name__}")
    if not scores.is_floating_point():
        raise TypeError(f"scores must be of a floating type, got {scores.dtype}")
    if scores.ndim != 2:
        raise ValueError(f"scores must be [batch, vocabulary], got shape {list(scores.shape)}")
    return _inputs.plain_array("scores", scores)
