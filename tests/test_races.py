"""Arrays that another thread writes during a call: any result or an exception, never memory outside the buffers.

A thread rewrites logits, companion rows, contexts, masks, targets and parameters between two finite versions, then
between finite values and NaN, while one output at a time runs. A read or write outside a buffer ends the process, at
the latest under the address sanitizer, with which ``.ci/sanitize`` runs this file. FASTLOGITS_RACE_SECONDS sets the
time for each output, over all its types and shapes; each step has half as much.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from made import BLENDS, MAKERS, NAMES, Numbers
from numpy.typing import NDArray

import fastlogits as fl
import fastlogits._core as _core

Array = NDArray[Any]
SECONDS = float(os.environ.get("FASTLOGITS_RACE_SECONDS", "0.1"))
# Long enough for the passes without the GIL, for lists sorted by digits and for a nucleus that is never listed.
N = 12_345
KINDS: dict[str, Any] = {"float32": np.float32, "float16": np.float16, "bfloat16": ml_dtypes.bfloat16, "float64": float}


class Shared:
    """The arrays that a thread rewrites, each with two good versions and a bad one."""

    def __init__(self, kind: str, n: int = N, rows: int = 1, stride: int = 1) -> None:
        rng = np.random.default_rng(n)
        self.n, self.rows, self.pairs = n, rows, []
        outer = () if rows == 1 else (rows,)

        def logits() -> Array:
            flat = np.zeros((*outer, n))
            flat[..., : n // 2] = 3 * rng.normal(size=(*outer, n // 2))
            spiky = rng.normal(size=(*outer, n)) * rng.choice([0.01, 30.0])
            bad = spiky.copy()
            bad[..., :: rng.integers(1, 50)] = np.nan
            bad[..., 5 :: rng.integers(50, 500)] = np.inf
            held = np.zeros((*outer, n * stride), KINDS[kind])[..., ::stride]
            return self.own(held, flat, spiky, bad)

        def integers(size: Any, low: int, high: int, bad: int, dtype: Any = np.int64) -> Array:
            good = [rng.integers(low, high, size, dtype) for _ in range(2)]
            return self.own(np.zeros(size, dtype), *good, np.full(size, bad, dtype))

        self.x, self.y, self.z = logits(), logits(), logits()
        self.context = integers(300, 0, min(n, 40), -(2**40))
        self.targets = integers(outer, 0, n, 2**40)
        self.drafts = integers((*outer, 4), 0, 50, 2**50)
        words = -(-n // 32)
        self.mask = integers((*outer, words), -(2**31), 2**31 - 1, 0, np.int32)
        self.temperature = self.own(np.ones(rows), np.full(rows, 0.5), np.full(rows, 2.0), np.full(rows, np.nan))

    def own(self, held: Array, *versions: Array) -> Array:
        """Registers the versions of an array."""
        with np.errstate(over="ignore", invalid="ignore"):
            made = [np.asarray(version).astype(held.dtype) for version in versions]
        held[...] = made[0]
        self.pairs.append((held, made))
        return held

    def write(self, choice: int) -> None:
        """Rewrites every array."""
        for held, versions in self.pairs:
            np.copyto(held, versions[choice])


@contextmanager
def written(shared: Shared, order: tuple[int, ...]) -> Iterator[None]:
    """Within it a thread rewrites the arrays, without a pause."""
    ended = threading.Event()

    def work() -> None:
        for choice in itertools.cycle(order):
            if ended.is_set():
                return
            shared.write(choice)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    writer = threading.Thread(target=work)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()
        sys.setswitchinterval(before)
        shared.write(0)


def race(shared: Shared, call: Callable[[], Any], share: float = 1.0) -> None:
    """Calls for that share of the output's time."""
    for order in ((0, 1), (0, 2, 1, 2)):
        end = time.monotonic() + SECONDS * share / 2
        with written(shared, order):
            while time.monotonic() < end:
                try:
                    call()
                except AssertionError:
                    raise
                except Exception:  # whatever the arrays of this moment deserve
                    continue


def in_row(ids: Any, shared: Shared) -> None:
    """Ids that index a row, as no bad row got past `on_error`."""
    assert ((np.asarray(ids) >= 0) & (np.asarray(ids) < shared.n)).all(), ids


def checked(make: Callable[[Shared], Any]) -> Callable[[Shared], Any]:
    """The call, whose result holds ids."""
    return lambda s: in_row(make(s), s)


OUTPUTS: dict[str, Callable[[Shared], Any]] = {
    "softmax": lambda s: fl.softmax(s.x),
    "log_softmax": lambda s: fl.log_softmax(s.x),
    "logsumexp": lambda s: fl.logsumexp(s.x, temperature=0.7),
    "argmax": checked(lambda s: fl.argmax(s.x)),
    "top_k few": checked(lambda s: fl.top_k(s.x, 50).indices),
    "top_k many": checked(lambda s: fl.top_k(s.x, s.n // 3).indices),
    "top_k one": checked(lambda s: fl.top_k(s.x, 1).indices),
    "softmax, temperatures": lambda s: fl.softmax(s.x, temperature=s.temperature if s.rows > 1 else 0.5),
    "token_logprobs": lambda s: fl.token_logprobs(
        s.x, s.targets, top_n=9, rank=True, entropy=True, varentropy=True, margin=True, logsumexp=True
    ),
    "token_logprobs, candidates": lambda s: fl.token_logprobs(s.x, s.targets, candidates=s.drafts, top_n=1000),
    "shards": lambda s: fl.merge(
        [fl.shard_summary(s.x, s.targets, offset=0, vocab=s.n, top_n=5, entropy=True, margin=True,
                          peaks=fl.shard_peaks(s.x, s.targets, offset=0, vocab=s.n))]
    ),
    "compare": lambda s: fl.compare_distributions(s.x, s.y),
    "kl_divergence": lambda s: fl.kl_divergence(s.x, s.y),
    "fit_temperature": lambda s: fl.fit_temperature(np.atleast_2d(s.x), np.atleast_1d(s.targets)),
    "calibration_error": lambda s: fl.calibration_error(np.atleast_2d(s.x), np.atleast_1d(s.targets), from_logits=True),
    "guide": lambda s: fl.guide(s.x, s.y, 1.5),
    "contrastive": lambda s: fl.contrastive(s.x, s.y, alpha=0.1),
    "dexperts": lambda s: fl.dexperts(s.x, s.y, s.z, 1.5),
    "sample": checked(lambda s: fl.sample(s.x, rng=1)),
    "sample, many": checked(lambda s: fl.sample(s.x, rng=1, n=7, top_p=0.9)),
    "gumbel": lambda s: fl.sample(s.x, rng=1, n=40, replacement=False),
    "gumbel, one": checked(lambda s: fl.sample(s.x, rng=1, draw="gumbel", mask=s.mask)),
    "gumbel_max": lambda s: fl.gumbel_max(s.x, rng=1, n=3, top_k=100),
    "log-probs": lambda s: in_row(fl.sample(s.x, rng=1, logprobs=5, top_p=0.8, context=s.context,
                                            repetition_penalty=1.2).ids, s),
    "masked": checked(lambda s: fl.sample(s.x, rng=1, mask=s.mask, top_k=40, top_p=0.95)),
    "masked probs": lambda s: fl.probs(s.x, mask=s.mask, top_p=0.95, min_p=0.001),
    "temperatures": lambda s: fl.probs(s.x, temperature=s.temperature if s.rows > 1 else 0.5, top_p=0.9),
    "status": lambda s: fl.sample(s.x, rng=1, top_k=5, on_error="status"),
    "explain": lambda s: fl.Sampler(temperature=0.8, top_k=50, top_p=0.9).explain(np.atleast_2d(s.x)[0]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs(name: str, kind: str) -> None:
    shared, call = Shared(kind), OUTPUTS[name]
    call(shared)
    race(shared, lambda: call(shared), 1 / 6)


@pytest.mark.parametrize("name", OUTPUTS)
def test_rows_and_strides(name: str) -> None:
    """A batch on two threads, and logits in records of 12 bytes."""
    many, thirds, call = Shared("float32", 3000, rows=3), Shared("float32", stride=3), OUTPUTS[name]
    for shared in (many, thirds):
        call(shared)
        race(shared, functools.partial(call, shared), 1 / 6)


ENDS = ("sample", "probs", "filter_logits", "candidates", "log-probs", "gumbel")


def ended(sampler: fl.Sampler, end: str, s: Shared) -> Any:
    """One output of a Sampler."""
    names = ("uncond", "amateur", "expert", "anti")
    inputs: dict[str, Any] = {"context": s.context, "rng": 3, "prompt_length": 5}
    inputs |= {name: row for name, row in zip(names, (s.y, s.y, s.y, s.z), strict=True) if name in sampler.beside}
    if end in ("probs", "filter_logits", "candidates"):
        return getattr(sampler, end)(s.x, **inputs)
    if end == "sample":
        return in_row(sampler.sample(s.x, **inputs), s)
    more: dict[str, Any] = {"logprobs": 7} if end == "log-probs" else {"n": 5, "replacement": False}
    return sampler.sample(s.x, **inputs, **more)


def plans(name: str, n: int) -> Iterator[fl.Sampler]:
    """A few Samplers with a step of that name: alone, before and after others."""
    for seed in itertools.count():
        numbers = Numbers.fixed(seed, n, 300)
        step = MAKERS[name](numbers)
        around = [MAKERS[each](numbers) for each in ("top_p", "logit_bias", "temperature", "top_k")]
        first = name in BLENDS or name == "remove_invalid_values"
        last = name in ("draw", "gumbel")
        tails = [[], around[:1], around[2:], around]
        tail = tails[seed % 4]
        steps = [step, *tail] if first or (seed % 3 and not last) else [*tail, step]
        yield fl.Sampler(*steps)


@pytest.mark.parametrize("kind", ["float32", "float16", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_steps(name: str, kind: str) -> None:
    shared = Shared(kind)
    turns = zip(plans(name, N), itertools.cycle(ENDS), strict=False)

    def call() -> None:
        sampler, end = next(turns)
        ended(sampler, end, shared)

    race(shared, call, 1 / 6)


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_verify(kind: str) -> None:
    shared = Shared(kind, 1500, rows=5)
    drafts = shared.drafts[0]

    def call() -> None:
        fl.verify(shared.x, drafts, draft_logits=shared.y[:4], context=shared.context, rng=1, top_p=0.95)
        fl.verify(shared.x, drafts, context=shared.context, rng=1, top_k=40, repetition_penalty=1.1)

    race(shared, call)


def test_batches_and_beams() -> None:
    shared = Shared("float32", 3000, rows=3)
    scores = np.zeros(3)
    sampler = fl.Sampler(temperature=0.8, top_k=20, repetition_penalty=1.1, mirostat=2)
    states = [sampler.state([1, 2, 3]) for _ in range(3)]

    def call() -> None:
        in_row(sampler.sample(shared.x, state=states, rng=1), shared)
        fl.beam_step(shared.x, scores, beams=3)

    race(shared, call)


def test_exact_sums() -> None:
    shared = Shared("float64")
    race(shared, lambda: _core.exact_sum(shared.x))
