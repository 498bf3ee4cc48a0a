"""Threads, fork and interpreter exit: the same bits, and nothing hangs."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits as fl
import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits._common import threads as _threads

X = (3 * np.random.default_rng(0).normal(size=(23, 700))).astype(np.float32)
KEYWORDS: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "min_p": 0.01, "logit_bias": {5: 2.0}}


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs code in an interpreter of its own; a hang is a failure."""
    env = {name: value for name, value in os.environ.items() if name != "FASTLOGITS_THREADS"} | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)


def everything(threads: int | None) -> tuple[Any, ...]:
    sampler = fl.Sampler(**KEYWORDS)
    t: dict[str, Any] = {"threads": threads}
    arrays = (
        fl.softmax(X, **t),
        fl.log_softmax(X, **t),
        fl.logsumexp(X, **t),
        fl.argmax(X, **t),
        tuple(fl.top_k(X, 9, **t)),
    )
    ends = tuple(sampler.sample(X, rng=3, logprobs=4, **t)), sampler.probs(X, **t), sampler.filter_logits(X, **t)
    return (*arrays, *ends, rows.listed(sampler.candidates(X, **t)))


# ---- the same bits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [0, 2, 3, 8, 64, 10_000])
def test_same_bits_for_any_number(isa: str, threads: int) -> None:
    assert rows.same_bits(everything(threads), everything(1))


def test_the_row_named_is_the_first_bad_one() -> None:
    x = X.copy()
    x[[20, 9, 15], 3] = np.nan
    for threads in (1, 2, 8):
        for _ in range(5):
            with pytest.raises(ValueError, match=r"logits\[9\] contains NaN"):
                fl.probs(x, threads=threads)
        _, status = fl.probs(x, threads=threads, on_error="status")
        assert np.flatnonzero(status).tolist() == [9, 15, 20]


def test_calls_from_many_threads() -> None:
    """Concurrent calls, each on threads of its own, share nothing that shows."""
    right = everything(1)
    with ThreadPoolExecutor(8) as pool:
        for got in pool.map(everything, [1, 2, 4, 0] * 6):
            assert rows.same_bits(got, right)


def test_one_sampler_in_many_threads() -> None:
    sampler = fl.Sampler(**KEYWORDS)
    right = [sampler.sample(row, rng=5) for row in X]
    results: list[list[int]] = [[] for _ in range(8)]

    def draw(at: int) -> None:
        for _ in range(20):
            results[at] = [sampler.sample(row, rng=5) for row in X]

    workers = [threading.Thread(target=draw, args=(at,)) for at in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [right] * 8


def test_states_in_many_threads() -> None:
    """One Sampler: states of their own give the tokens of a single thread; a shared one holds what was accepted."""
    sampler = fl.Sampler(**KEYWORDS, mirostat=2)
    shared, calls = sampler.state([1, 2]), 100

    def draw(seed: int) -> list[int]:
        state = sampler.state([1, 2])
        for at in range(calls):
            state.accept(sampler.sample(X[at % len(X)], state=state, rng=seed))
            sampler.sample(X[0], state=shared, rng=seed)
            shared.accept(seed)
        return [int(token) for token in state.tokens]

    right = [draw(seed) for seed in range(4)]
    before = len(shared)
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(draw, range(4))) == right
    tokens = shared.tokens.tolist()
    assert len(tokens) == before + 4 * calls
    assert sorted(tokens[before:]) == sorted(list(range(4)) * calls)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="this system has no /proc/self/task")
@pytest.mark.parametrize("calls", [2000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_threads_of_the_system_do_not_grow(calls: int) -> None:
    """As the system counts them, those that the interpreter does not know included."""
    before = len(os.listdir("/proc/self/task"))
    for _ in range(calls):
        fl.argmax(X[:2], threads=2)
    assert len(os.listdir("/proc/self/task")) <= before + 4


def test_one_generator_in_many_threads() -> None:
    """Each call takes one word, under the generator's lock."""
    rng, calls = np.random.default_rng(0), 4000
    row = np.zeros(3, np.float32)

    def draw(_: int) -> None:
        fl.sample(row, rng=rng)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(draw, range(calls)))
    expected = np.random.default_rng(0)
    expected.bit_generator.random_raw(calls)
    assert rng.bit_generator.state == expected.bit_generator.state


def test_the_gil_is_released() -> None:
    """Another thread gets on while one long call runs."""
    row = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    many = np.broadcast_to(row, (2000, row.size))  # far longer than a busy machine keeps a thread waiting
    done, ticks = threading.Event(), 0

    def call() -> None:
        fl.logsumexp(many)
        done.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)
    try:
        worker = threading.Thread(target=call)
        worker.start()
        while not done.wait(0.0005):
            ticks += 1
        worker.join()
    finally:
        sys.setswitchinterval(interval)
    assert ticks >= 2


# ---- blocks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
@pytest.mark.parametrize("threads", [1, 2, 5, 1000])
def test_blocks_cover_each_row_once(count: int, threads: int) -> None:
    seen: list[int] = []
    _threads.run_blocks(lambda begin, end: seen.extend(range(begin, end)), count, threads, 1)
    assert sorted(seen) == list(range(count))


def test_an_error_in_a_block_is_raised_when_all_are_done() -> None:
    finished = []

    def work(begin: int, end: int) -> None:
        if begin == 0:
            raise KeyError(begin)
        finished.append(end)

    for threads in (2, 4):
        with pytest.raises(KeyError):
            _threads.run_blocks(work, 12, threads, 1)


def test_default_and_all_cores() -> None:
    assert _inputs.thread_count(None) == (_core.default_threads() or _inputs.cores())
    assert _inputs.thread_count(0) == _inputs.cores() == len(os.sched_getaffinity(0))
    assert _inputs.thread_count(np.int64(3)) == 3


def test_environment() -> None:
    show = "import fastlogits as fl; print(fl.cpu.default_threads(), fl._core.default_threads())"
    assert python(show).stdout.split() == ["1", "1"]
    assert python(show, FASTLOGITS_THREADS="").stdout.split() == ["1", "1"]
    assert python(show, FASTLOGITS_THREADS="3").stdout.split() == ["3", "3"]
    assert python(show, FASTLOGITS_THREADS="0").stdout.split() == [str(_inputs.cores()), "0"]
    for bad in ("-1", "two", "1.5", "99999"):
        ran = python("import fastlogits", FASTLOGITS_THREADS=bad)
        assert ran.returncode != 0
        assert f"ImportError: FASTLOGITS_THREADS must be an integer in [0, 1024], got '{bad}'" in ran.stderr


def test_environment_is_used() -> None:
    code = """
import numpy as np, threading, fastlogits as fl
x = np.zeros((8, 5000), np.float32)
assert threading.active_count() == 1
{calls}
assert (threading.active_count() > 1) == {many}
"""
    calls = ("fl.softmax(x)", "fl.argmax(x)", "fl.top_k(x, 3)", "fl.sample(x, rng=1)", "fl.probs(x)")
    for call in calls:
        assert python(code.format(calls=call, many=True), FASTLOGITS_THREADS="2").returncode == 0, call
    assert python(code.format(calls="; ".join(calls), many=False)).returncode == 0


# ---- fork and exit -------------------------------------------------------------------------------------------------


FORK = """
import os, sys, threading, warnings, numpy as np, fastlogits as fl
warnings.simplefilter("ignore")
x = np.random.default_rng(0).normal(size=(16, 9000)).astype(np.float32)
sampler = fl.Sampler(temperature=0.8, top_p=0.9)
right = sampler.sample(x, rng=7, threads={before}).tolist()
stop = False
def busy():
    while not stop:
        sampler.sample(x, rng=7, threads=2)
workers = [threading.Thread(target=busy) for _ in range({busy})]
for worker in workers: worker.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        for threads in (1, 4, 1):
            if sampler.sample(x, rng=7, threads=threads).tolist() != right: os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop = True
for worker in workers: worker.join()
assert sampler.sample(x, rng=7, threads=4).tolist() == right
"""


@pytest.mark.parametrize(("before", "busy"), [(1, 0), (4, 0), (4, 2)])
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_fork(before: int, busy: int) -> None:
    """Children of a process whose pool exists, is idle or at work get the same tokens, on one thread and on more."""
    ran = python(FORK.format(before=before, busy=busy))
    assert ran.returncode == 0, ran.stderr


EXIT = """
import atexit, sys, threading, numpy as np, fastlogits as fl
x = np.random.default_rng(0).normal(size=(16, 9000)).astype(np.float32)
sampler = fl.Sampler(temperature=0.8, top_p=0.9)
right = sampler.sample(x, rng=7).tolist()
{warm}
def last(where):
    assert sampler.sample(x, rng=7, threads=4).tolist() == right
    assert fl.softmax(x, threads=4).shape == x.shape
    print(where, flush=True)
class Late:
    def __del__(self):
        last("del")
atexit.register(last, "atexit")
def slow():
    threading.main_thread().join()
    last("thread")
threading.Thread(target=slow).start()
sys.late = Late()
"""


@pytest.mark.parametrize("warm", ["", "sampler.sample(x, rng=7, threads=4)"], ids=["no pool", "pool"])
def test_interpreter_exit(warm: str) -> None:
    """Calls from atexit handlers, from threads that outlive the main one, and from late finalisers."""
    ran = python(EXIT.format(warm=warm))
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    assert set(ran.stdout.split()) >= {"atexit", "thread"}


def test_a_worker_in_flight_at_exit() -> None:
    code = """
import threading, numpy as np, fastlogits as fl
x = np.zeros((64, 20_000), np.float32)
def loop():
    for _ in range(10**9): fl.softmax(x, threads=3)
threading.Thread(target=loop, daemon=True).start()
fl.softmax(x, threads=2)
"""
    for _ in range(3):
        ran = python(code)
        assert ran.returncode == 0, ran.stderr
