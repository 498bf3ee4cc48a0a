"""Ctrl-C during long calls: answered between two pieces of rows on every thread, and at once on one long row."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
import fastlogits._core as _core
from fastlogits._common import threads as _threads

ROW = np.random.default_rng(1).normal(size=50_000).astype(np.float32)
ROWS = np.broadcast_to(ROW, (2_000_000, ROW.size))  # 400 GB in one row of memory: no call gets to the end
IDS = np.zeros(len(ROWS), np.int64)
CALLS: dict[str, Any] = {
    "logsumexp": lambda t: fl.logsumexp(ROWS, threads=t),
    "argmax": lambda t: fl.argmax(ROWS, threads=t),
    "top_k": lambda t: fl.top_k(ROWS, 3, threads=t),
    "sample": lambda t: fl.sample(ROWS, rng=7, top_p=0.9, threads=t),
    "candidates": lambda t: fl.candidates(ROWS, top_k=2, threads=t),
    "token_logprobs": lambda t: fl.token_logprobs(ROWS, IDS, entropy=True, rank=True, threads=t),
    "fit_temperature": lambda t: fl.fit_temperature(ROWS, IDS, threads=t),
    "calibration_error": lambda t: fl.calibration_error(ROWS, IDS, from_logits=True, threads=t),
    "kl_divergence": lambda t: fl.kl_divergence(ROWS, ROWS, threads=t),
    "top_n_agreement": lambda t: fl.top_n_agreement(ROWS, ROWS, top_n=2, threads=t),
    "compare_distributions": lambda t: fl.compare_distributions(ROWS, ROWS, threads=t),
    "verify": lambda t: fl.verify(np.broadcast_to(ROW, (900_000, 2, ROW.size)), IDS[:900_000, None], threads=t),
}


@pytest.fixture(autouse=True)
def answered() -> Iterator[None]:
    """Ctrl-C raises KeyboardInterrupt, also where tests run in the background of a shell, which ignores it there."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are for the main thread")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="a process sends itself no Ctrl-C there")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", CALLS)
def test_interrupted(name: str, threads: int) -> None:
    sent: list[float] = []

    def press() -> None:
        sent.append(time.process_time())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.15, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        CALLS[name](threads)
    assert time.process_time() - sent[0] < 0.2 * threads  # of computing: the machine may be busy with other work
    timer.join()
    assert fl.argmax(ROWS[:3], threads=threads).tolist() == [ROW.argmax()] * 3


@pytest.fixture(scope="module")
def long_row() -> Any:
    return np.random.default_rng(3).standard_normal(25_000_000, np.float32)


DRAWS = 3_000_000
LONG: dict[str, Any] = {
    "sample": lambda x: fl.sample(x, rng=7, top_p=0.9),
    "prepared": lambda x: fl.Sampler(typical_p=0.9).sample(x, rng=7),
    "probs": lambda x: fl.probs(x, typical_p=0.9),
    "token_logprobs": lambda x: fl.token_logprobs(x, 0, entropy=True, rank=True, top_n=50),
    "softmax": lambda x: fl.softmax(x),
    "compare_distributions": lambda x: fl.compare_distributions(x, x[::-1], top_n=9),
    "fit_temperature": lambda x: fl.fit_temperature(x[None], [0]),
    "draws from a row": lambda _: fl.sample(ROW, rng=7, n=DRAWS),
    "draws from a list": lambda _: fl.sample(ROW, rng=7, n=DRAWS, top_k=4000),
    "draws of Gumbel-max": lambda _: fl.sample(ROW, rng=7, n=DRAWS, draw="gumbel"),
}


@pytest.mark.skipif(os.name == "nt", reason="a process sends itself no Ctrl-C there")
@pytest.mark.parametrize("name", LONG)
def test_one_long_row(name: str, long_row: Any) -> None:
    """What is left of the call ends with its pass."""
    sent: list[float] = []

    def press() -> None:
        sent.append(time.process_time())
        os.kill(os.getpid(), signal.SIGINT)

    timer = threading.Timer(0.1, press)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        [LONG[name](long_row) for _ in range(100)]  # on a busy machine the timer may be later than the end of one call
    assert time.process_time() - sent[0] < 3  # of computing; 0.1 s is what a call waits for its helpers
    timer.join()
    assert fl.sample(ROW, top_k=1, rng=7) == ROW.argmax()


def test_a_stopped_call_leaves_no_trace() -> None:
    """A scratch that was told to stop serves the next call."""
    x = np.zeros((1, 8), np.float32)
    for _ in range(100):
        out, stop = np.full((1, 8), 7, np.float32), _core.Stop()
        task = _core.ArrayTask(_core.SOFTMAX, x, 1, np.ones(1), out)
        stop.stop()
        with pytest.raises(MemoryError):
            task.run(0, 1, stop)
        task.run(0, 1, _core.Stop())
        task.run(0, 1)
        assert out.tolist() == [[0.125] * 8]


@pytest.mark.skipif(os.name == "nt", reason="a process sends itself no Ctrl-C there")
def test_interrupted_under_dask() -> None:
    """The caller is interrupted while tasks run; each of them ends with its chunk, and no other chunk is read."""
    da = pytest.importorskip("dask.array", reason="dask.array is not installed: pip install 'dask[array]'")
    fd = pytest.importorskip("fastlogits.dask", reason="dask is not installed: pip install 'dask[array]'")
    begun: list[int] = []
    ended: list[int] = []
    sent: list[float] = []
    wait = threading.Event()

    def chunk(_: Any) -> Any:
        begun.append(1)
        if len(begun) == 2:
            sent.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)
        wait.wait(0.5)
        ended.append(1)
        return np.zeros((2, 8), np.float32)

    blank = da.zeros((2000, 8), chunks=(2, 8), dtype=np.float32)
    rows = blank.map_blocks(chunk, dtype=np.float32, meta=np.empty((0, 0), np.float32))
    with pytest.raises(KeyboardInterrupt):
        fd.logsumexp(rows).compute(scheduler="threads", num_workers=2)
    assert time.monotonic() - sent[0] < 5  # 1000 chunks of half a second on two workers take 250 s
    wait.set()
    limit = time.monotonic() + 10
    while len(ended) < len(begun) and time.monotonic() < limit:
        time.sleep(0.01)
    assert len(ended) == len(begun) < 20
    whole = fd.logsumexp(da.from_array(np.zeros((4, 8), np.float32), chunks=(2, 8))).compute()
    np.testing.assert_array_equal(whole, fl.logsumexp(np.zeros((4, 8), np.float32)))


def test_pieces_cover_all_rows(monkeypatch: Any) -> None:
    """Results are those of one piece, whatever the pieces; an error in any of them is raised."""
    x = np.random.default_rng(2).normal(size=(50, 40)).astype(np.float32)
    whole = fl.candidates(x, top_k=5), fl.token_logprobs(x, np.zeros(50, int)).logprobs
    monkeypatch.setattr(_threads, "_PIECE", 100)
    for threads in (1, 3):
        found = fl.candidates(x, top_k=5, threads=threads)
        for field in ("ids", "logits", "logprobs", "offsets"):
            np.testing.assert_array_equal(getattr(found, field), getattr(whole[0], field))
        np.testing.assert_array_equal(fl.token_logprobs(x, np.zeros(50, int), threads=threads).logprobs, whole[1])
        bad = x.copy()
        bad[33, 5] = np.nan
        with pytest.raises(ValueError, match=r"logits\[33\] contains NaN"):
            fl.sample(bad, rng=7, threads=threads)
