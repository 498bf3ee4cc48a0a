"""Objects made by hand, arguments that lie, pickles and summaries that were tampered with: exceptions, never a crash.

What might end the process runs in one of its own, ``python tests/test_hostile.py NAME``.
"""

from __future__ import annotations

import gc
import itertools
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
import fastlogits._core as _core
from fastlogits import steps
from fastlogits.sampling import prepare as _prepare

ROW = np.linspace(-3, 3, 5000, dtype=np.float32)
SAMPLER = fl.Sampler(temperature=0.8, top_k=40, repetition_penalty=1.2, mirostat=2, logit_bias={7: 1.0})
PER_ROW = fl.Sampler(temperature=[0.5, 0.7, 0.9], logit_bias=[{1: 1.0}, {2: 2.0}, {}])
CLASSES = sorted((each for each in vars(_core).values() if isinstance(each, type)), key=lambda each: each.__name__)
ODD: tuple[Any, ...] = (
    None, 0, 1, -1, 7, 2**31, 2**63 - 1, 2**70, 0.5, float("nan"), "text", b"", (), (0,), [], [0, 1], {}, object(), ROW,
    ROW[:0], ROW.astype(np.float64), np.zeros((2, 3), np.int64), np.arange(3), np.zeros(3, object),
    np.zeros((), np.float32), np.full(3, 2**40), SAMPLER, PER_ROW, _core.Plan(), SAMPLER.state([1, 2]), np.float64,
    type,
)  # fmt: skip


def tried(call: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """The result, or None after an exception."""
    try:
        return call(*arguments, **keywords)
    except Exception:
        return None


def methods(thing: Any) -> Iterator[Callable[..., Any]]:
    """What an object of the binding can be asked; special methods too, those that all objects have left out."""
    for name in dir(type(thing)):
        if name in dir(object) and name not in ("__init__", "__repr__", "__reduce__", "__setstate__"):
            continue
        found = tried(getattr, thing, name)
        if callable(found):
            yield found


def made_by_new() -> None:
    """Every class of the binding by ``__new__``, with arguments of all kinds, and every method of what comes out."""
    for kind in [*CLASSES, fl.Sampler, fl.State]:
        for arguments in [(), *((each,) for each in ODD), *itertools.product(ODD[:5], repeat=2)]:
            thing = tried(kind.__new__, kind, *arguments)
            if thing is None:
                continue
            for method in methods(thing):
                tried(method)
                for first in ODD:
                    tried(method, first)
                for pair in itertools.product(ODD[:5], repeat=2):
                    tried(method, *pair)
                tried(method, ROW, rng=1)
            gc.collect()


def tasks() -> list[tuple[type, dict[str, Any]]]:
    """Each task with arguments that are right."""
    rows, n = 3, 600
    x = np.random.default_rng(0).normal(size=(rows, n)).astype(np.float32)
    one, ints, doubles, status = np.ones(1), np.zeros(rows, np.int64), np.zeros(rows), np.zeros(rows, np.int32)
    none = dict.fromkeys(("context", "offsets", "states", "status"))
    state = SAMPLER.state([1, 2, 3])
    pair = np.zeros((1, 2), np.int64)
    scores = {
        "x": x,
        "temperature": one,
        "targets": ints,
        "logprobs": doubles,
        "status": status,
        "given": ints,
        "given_logprobs": np.zeros((rows, 3)),
        "top_ids": np.zeros((rows, 4), np.int64),
        "top_logprobs": np.zeros((rows, 4)),
        "ranks": ints.copy(),
        "margins": doubles.copy(),
        "whole": (doubles, doubles),
        "sums": np.zeros((rows, 48), np.float32),
    }
    plan = {
        "plan": SAMPLER,
        "x": x,
        "context": np.arange(9),
        "offsets": np.array([0, 2, 5, 9]),
        "prompt_length": None,
        "states": None,
        "mixed": False,
        "seed": 1,
        "position": None,
        "memory": None,
        "offset": 0,
        "draws": 2,
        "ids": np.zeros((rows, 2), np.int64),
        "top_ids": np.zeros((rows, 3), np.int64),
        "top_logprobs": np.zeros((rows, 3)),
        "probs": None,
        "logits": None,
        "counts": ints.copy(),
        "status": status,
        "trace": None,
        "observed": None,
        "beside": (),
    }
    verify = {
        "plan": SAMPLER,
        "draft_plan": SAMPLER,
        "target": x,
        "ids": pair,
        "parents": None,
        "logits": x[None, :2],
        "probs": None,
        "distinct": False,
        "seed": 1,
        "accepted": np.zeros(1, np.int64),
        "emitted": np.zeros((1, 3), np.int64),
        "path": pair.copy(),
        "beside": (),
        **none,
    }
    array = {
        "x": x,
        "axis": 1,
        "temperature": one,
        "out": x * 0,
        "values": x[:, :5].copy(),
        "ids": np.zeros((rows, 5), int),
    }
    guidance = _prepare.prepared(steps.Guidance(1.5))
    return [
        (_core.ArrayTask, {"which": _core.SOFTMAX, "top": 1, **array}),
        (_core.ArrayTask, {"which": _core.TOP_K, "top": 5, **array}),
        (_core.ScoresTask, scores),
        (_core.TemperaturesTask, {"x": x, "step": 1.0, "power": 1, "count": 8, "targets": ints}),
        (_core.ComparisonTask, {"a": x, "b": x, "temperature": one, "beta": 0.5, "kl": doubles, "js": doubles.copy()}),
        (_core.BlendTask, {"step": guidance, "arrays": (x, x), "out": x * 0, "axis": 1}),
        (_core.PlanTask, plan),
        (
            _core.PlanTask,
            {
                "plan": SAMPLER,
                "x": x,
                "states": (state,) * 3,
                "mixed": True,
                "ids": ints.copy(),
                "beside": (None, x, None, None),
            },
        ),
        (_core.VerifyTask, verify),
    ]


def tasks_by_hand() -> None:
    """Each argument of each task replaced by something odd; blocks that are none; methods at a wrong time."""
    extra = (np.full(3, 2**40), np.full((3, 2), -5), (SAMPLER.state([1]),), (None,) * 3, fl.Sampler(guidance_scale=2.0),
             fl.Sampler(logit_bias={599: 1.0}), fl.Sampler(logit_bias={600: 1.0}), ROW.reshape(5, 1000), 3, 4,
             np.zeros((3, 600)), np.zeros((3, 600), np.float16), (ROW, ROW, ROW))  # fmt: skip
    for kind, right in tasks():
        for name, value in [("", None), *itertools.product(right, (*ODD, *extra))]:
            task = tried(kind, **right | ({name: value} if name else {}))
            if task is None:
                continue
            for begin, end in [(0, 1), (0, 3), (-1, 1), (0, 2**40), (2**62, 2**62 + 1), (3, 1)]:
                tried(task.run, begin, end)
            for vocab in (0, 5, 600, 2**40):
                tried(lambda task=task, vocab=vocab: task.tell(vocab))
            for row in (-1, 0, 3, 2**40):
                tried(lambda task=task, row=row: task.trace(row))
        assert tried(kind, **right) is not None, kind


def steps_past_their_checks() -> None:
    """Fields that were set behind a step's back, and prepared steps made by hand."""
    fine = [
        steps.Temperature(0.5),
        steps.TopK(3),
        steps.TopP(0.5),
        steps.Dry(1.0),
        steps.NoRepeatNgram(2),
        steps.LogitBias({1: 2.0}),
        steps.SequenceBias({(1, 2): 1.0}),
        steps.BadWords([[1, 2]]),
        steps.MinP(0.1),
        steps.RepetitionPenalty(1.2),
        steps.Mask(np.ones(5000, bool)),
        steps.TypicalP(0.5),
        steps.Mirostat(2),
        steps.EncoderNoRepeatNgram(2, [1, 2, 3]),
        steps.SuppressTokens([1]),
        steps.Xtc(0.5, 0.1),
        steps.Tfs(0.5),
        steps.MinK(3.0),
        steps.TopNSigma(1.0),
        steps.DynamicTemperature(0.5, 1.0),
        steps.Guidance(1.5),
        steps.Smoothing(0.2),
        steps.AdaptiveP(0.5),
        steps.TopH(0.5),
        steps.PLess(2.0),
    ]
    values = (
        float("nan"),
        float("inf"),
        -float("inf"),
        -1e300,
        1e300,
        -5,
        2**62,
        2**70,
        [0.1, 0.2],
        [],
        "x",
        None,
        {},
        {-5: 1.0},
        {2**40: 1.0},
        ([-1], [1.0]),
        [[]],
        ((),),
        ((2**40, 1),),
        np.full(3, 2**40),
        object(),
    )
    context = np.arange(200) % 5
    for step in fine:
        for field, value in itertools.product(vars(step), values):
            broken = pickle.loads(pickle.dumps(step))
            object.__setattr__(broken, field, value)
            for tail in ((), (steps.TopK(5),)):
                sampler = tried(fl.Sampler, broken, *tail)
                if sampler is None:
                    continue
                for end in ("sample", "probs", "candidates"):
                    tried(getattr(sampler, end), ROW, context=context, rng=1)
                tried(sampler.sample, ROW, context=context, rng=1, uncond=ROW)
                state = tried(sampler.state, [1, 2, 3])
                tried(lambda sampler=sampler, state=state: sampler.sample(ROW, state=state, rng=1))
        prepared = _prepare.prepared(step)
        wrong = (
            None,
            5,
            "x",
            np.zeros(3),
            np.zeros((2, 2)),
            np.zeros(0),
            np.full(1, np.nan),
            np.full(1, -1e300),
            np.full(1, -7),
            np.full(4, 2**62),
            np.zeros((2, 2), np.uint32),
            np.zeros((3, 8), np.uint32)[:, ::2],
            ("n", np.full(2, 2**40), None, np.ones(2), None),
            ("n", np.arange(2), np.array([0, 9]), None, None),
            ("n", np.arange(2), np.array([0, 0, 2]), np.ones(2), None),
            ("n", np.arange(2), None, None, None),
            ("n", np.arange(2), None, np.ones(2), np.array([0, 5])),
            ("n", np.arange(2), None, np.ones(2), np.array([2, 0])),
        )
        for field, value in itertools.product(prepared._fields, wrong):  # fmt: skip
            plan = _core.Plan()
            tried(plan._fill, (step,), (prepared._replace(**{field: value}),), ())
            tried(plan._fill, (step,), (prepared,), ())
            tried(plan.sample, ROW, rng=1, context=context)
            task = tried(_core.PlanTask, plan, ROW, ids=np.zeros(1, np.int64), context=context)
            tried(lambda task=task: task.run(0, 1))
            tried(plan.remember, np.zeros((3, 1)), np.zeros((3, 1, 2)))
    many = tuple([steps.TopK(3)] * 65)
    tried(_core.Plan()._fill, many, tuple(map(_prepare.prepared, many)), ())


def tampered_pickles() -> None:
    """States and Samplers restored from other fields than they had."""
    state = SAMPLER.state([1, 2, 3], vocab=5000)
    state.accept(SAMPLER.sample(ROW, state=state, rng=1))
    make, fields = state.__reduce__()
    values = (None, -1, 5, 2**31, 2**40, 2**70, -(2**63), "x", (), np.array([5000]), np.array([-1, 2**40]), np.zeros(2),
              PER_ROW, _core.Plan(), state._memory()[:3], (np.zeros(2), np.zeros(1), np.zeros(9, np.int64), 0),
              (None, None, None, 3), (np.zeros(99), np.zeros(99), np.zeros(0, np.int64), -(2**63)))  # fmt: skip
    for at, value in itertools.product(range(len(fields)), values):
        made = tried(make, *fields[:at], value, *fields[at + 1 :])
        if made is None:
            continue
        for call in (repr, len, pickle.dumps, lambda s: s.tokens, lambda s: s.copy(), lambda s: s.accept(4),
                     lambda s: s.rollback(2), lambda s: s.sampler.sample(ROW, state=s, rng=1),
                     lambda s: SAMPLER.sample(ROW, state=s, rng=1), lambda s: s._add(np.array([-3, 2**40])),
                     lambda s: fl.Batch([s.sampler]).sample(ROW[None])):  # fmt: skip
            tried(call, made)
    text = pickle.dumps(state)
    for at in range(0, len(text), 3):
        for byte in (0, 255, text[at] ^ 1):
            broken = tried(pickle.loads, text[:at] + bytes([byte]) + text[at + 1 :])
            if isinstance(broken, fl.State):
                tried(SAMPLER.sample, ROW, state=broken, rng=1)
                tried(broken.accept, 3)


class Liar(int):
    """An integer whose conversions run some code first."""

    act: Callable[[], Any] = staticmethod(lambda: None)

    def _say(self) -> int:
        type(self).act()
        return int.__int__(self)

    __int__ = __index__ = __trunc__ = _say
    __len__ = __float__ = _say  # type: ignore[assignment]


class Shown:
    """An array-like that changes state each time it is asked."""

    asked = 0

    def __array__(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        return ROW[: 100 * self.asked] if self.asked % 3 else object()

    def __len__(self) -> int:
        self.asked += 1
        return self.asked % 4 - 1

    def __iter__(self) -> Iterator[Any]:
        yield from (1, -1, 2**80, None)
        raise RuntimeError


def arguments_that_lie() -> None:
    """Conversions that change what is being worked on, and sequences that lie about themselves."""
    sampler = fl.Sampler(top_k=5, repetition_penalty=1.1)
    calls: list[Callable[[Any, Any, Any, Any], Any]] = [
        lambda n, state, logits, context: state.rollback(n),
        lambda n, state, logits, context: state.accept(n),
        lambda n, state, logits, context: state.accept([n, n]),
        lambda n, state, logits, context: sampler.state([1, 2, n]),
        lambda n, state, logits, context: sampler.sample(ROW, state=sampler.state([1, 2]), rng=n),
        lambda n, state, logits, context: SAMPLER.sample(ROW, state=state, rng=n),
        lambda n, state, logits, context: SAMPLER.sample(logits, context=context, rng=n),
        lambda n, state, logits, context: SAMPLER.candidates(logits, context=context, rng=n),
        lambda n, state, logits, context: sampler.sample(ROW, rng=n, logprobs=n),
        lambda n, state, logits, context: fl.top_k(ROW, n),
        lambda n, state, logits, context: fl.sample(ROW, n=n, rng=1),
        lambda n, state, logits, context: fl.token_logprobs(ROW, n),
        lambda n, state, logits, context: fl.sample(ROW, context=[n, n], rng=1),
        lambda n, state, logits, context: fl.sample(ROW, position=n, keys=n, rng=1),
    ]

    def acts(state: fl.State, logits: Any, context: Any) -> list[Callable[[], Any]]:
        def shrink() -> None:
            tried(state.rollback, len(state))
            tried(logits.resize, 3, refcheck=False)
            tried(setattr, context, "shape", (2, -1))

        return [shrink, lambda: tried(state.accept, 10**6), lambda: 1 / 0]

    for call, number, which in itertools.product(calls, (0, 1, 2, 3, 70_000, -1), range(3)):
        given = SAMPLER.state([1, 2, 3]), ROW.copy(), np.arange(40)
        Liar.act = staticmethod(acts(*given)[which])
        tried(call, Liar(number), *given)
    for function in (fl.softmax, fl.argmax, fl.sample, fl.probs, fl.candidates, fl.fit_temperature, fl.kl_divergence):
        for others in ((), (Shown(),), (ROW,)):
            tried(function, Shown(), *others)
            tried(function, ROW, *others)
    for name in (
        "context",
        "mask",
        "temperature",
        "logit_bias",
        "top_k",
        "prompt_length",
        "keys",
        "position",
        "state",
        "out",
    ):
        for value in (Shown(), [Shown()], {Shown(): Shown()}, (Shown(), Shown())):
            tried(fl.sample, ROW, **{name: value})
            tried(fl.sample, ROW[None], **{name: value})


def shared_states() -> None:
    """Eight threads that change one state."""
    state = SAMPLER.state([1, 2, 3])
    sys.setswitchinterval(1e-6)

    def work(seed: int) -> None:
        for i in range(1500):
            tried(state.accept, [i % 7] * (seed % 3 + 1))
            tried(state.rollback, i % 3 + seed % 2)
            if i % 50 == 0:
                tried(SAMPLER.sample, ROW, state=state, rng=1)
                tried(state.copy)

    workers = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(state) == len(state.tokens)


CASES = {each.__name__: each for each in (made_by_new, tasks_by_hand, steps_past_their_checks, tampered_pickles,
                                          arguments_that_lie, shared_states)}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_exceptions_only(name: str) -> None:
    command = [sys.executable, "-X", "faulthandler", "-W", "ignore", str(Path(__file__)), name]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]


# ---- the right exception ---------------------------------------------------------------------------------------------


if __name__ == "__main__":
    CASES[sys.argv[1]]()
