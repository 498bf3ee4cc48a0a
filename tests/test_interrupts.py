"""Ctrl-C during long calls on many rows: answered between two pieces of rows, on every thread."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
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


@pytest.mark.skipif(os.name == "nt", reason="a process sends itself no Ctrl-C there")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", CALLS)
def test_interrupted(name: str, threads: int) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are for the main thread")
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


@pytest.mark.skipif(os.name == "nt", reason="a process sends itself no Ctrl-C there")
def test_interrupted_under_dask() -> None:
    """The caller is interrupted while tasks run; each of them ends with its chunk, and no other chunk is read."""
    da = pytest.importorskip("dask.array", reason="dask.array is not installed: pip install 'dask[array]'")
    fd = pytest.importorskip("fastlogits.dask", reason="dask is not installed: pip install 'dask[array]'")
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals are for the main thread")
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
