"""fastlogits.dask on a cluster of processes, without dask, and in the documentation."""

from __future__ import annotations

import doctest
import importlib
import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits as fl

dask = pytest.importorskip("dask", reason="dask is not installed: pip install 'dask[array]'")
da = pytest.importorskip("dask.array", reason="dask.array is not installed: pip install 'dask[array]'")
fd = pytest.importorskip("fastlogits.dask", reason="dask is not installed: pip install 'dask[array]'")
from test_dask import ALL, EVERY, Array, V, all_same, ids, matrix, same, untouchable  # noqa: E402


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """A client of two worker processes on this machine."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed: pip install distributed")
    quiet = {"distributed.worker.memory.terminate": False, "distributed.comm.timeouts.connect": "120s"}
    with dask.config.set(quiet):
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address="127.0.0.1:0",
            worker_dashboard_address=None, silence_logs="CRITICAL", memory_limit=0,
        )  # fmt: skip
        with cluster, distributed.Client(cluster, timeout="120s", set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
            yield client


def on(client: Any, lazy: Any) -> Any:
    """What ``lazy`` holds, computed on the cluster."""
    return dask.compute(lazy, scheduler=client.get)[0]


def process_of(block: Array) -> Array:
    """The process that did a chunk."""
    return np.full((len(block), 1), os.getpid())


def test_cluster(client: Any) -> None:
    """Two worker processes, both at work, and the bits of one call."""
    x, y = matrix((120,)), matrix((120,), 5)
    targets = ids((120,))
    mask = targets >= 0
    keywords: dict[str, Any] = {"from_logits": True, "ignore_index": -100}
    right = fl.token_logprobs(x, targets, **ALL)
    text = fl.score_text(right.logprobs, mask=mask, greedy=right.greedy)
    for rows_each, columns in ((7, V), (31, 10)):
        pairs = []
        lazy, other = da.from_array(x, chunks=(rows_each, columns)), da.from_array(y, chunks=(50, V))
        found = fd.token_logprobs(lazy, targets, **ALL)
        score = fd.score_text(found.logprobs, mask=mask, greedy=found.greedy)
        totals = fd.compare_distributions(lazy, other, **EVERY).totals()
        pairs += [
            (found, right), (score, text), (fd.perplexity(found.logprobs, mask=mask), text.perplexity),
            (totals, fl.compare_distributions(x, y, **EVERY).totals()),
            (fd.kl_divergence(lazy, other), fl.kl_divergence(x, y)),
        ]  # fmt: skip
        for name in ("brier_score", "negative_log_likelihood", "calibration_error", "reliability_curve"):
            ours, theirs = getattr(fd, name), getattr(fl, name)
            pairs.append((ours(lazy, targets, **keywords), theirs(x, targets, **keywords)))
        with dask.config.set(scheduler=client.get):
            all_same(pairs)
            fit = fd.fit_temperature(lazy, targets, ignore_index=-100)
        assert fit == fl.fit_temperature(x, targets, ignore_index=-100)
    done = on(client, da.zeros((40, V), chunks=(1, V)).map_blocks(process_of, chunks=(1, 1), dtype=np.int64))
    assert len(np.unique(done)) == 2


def test_failures_on_a_cluster(client: Any) -> None:
    """A bad row, and a chunk that cannot be made, on a worker: the error itself; then the cluster goes on."""
    x = matrix((120,))
    x[97, 3] = np.nan
    lazy = da.from_array(x, chunks=(10, V))
    with pytest.raises(ValueError, match=r"^logits\[97\] contains NaN"):
        on(client, fd.token_logprobs(lazy, ids((120,)) * 0).logprobs)
    with pytest.raises(ValueError, match=r"^p_logits\[97\] contains NaN"):
        on(client, fd.kl_divergence(lazy, da.zeros_like(lazy), reduction="mean"))
    with pytest.raises(RuntimeError, match="a chunk was asked for"):
        on(client, fd.score_text(fd.token_logprobs(untouchable(), [0] * 20).logprobs))
    good = da.from_array(x[:90], chunks=(10, V))
    same(on(client, fd.logsumexp(good)), fl.logsumexp(x[:90]))


def test_real_rows_on_a_cluster(client: Any, real_rows: Array) -> None:
    """Rows of a real model, cut in several ways."""
    x, targets = np.asarray(real_rows), np.arange(len(real_rows))
    right = fl.token_logprobs(x, targets)
    for each in (1, 3, len(x)):
        lazy = da.from_array(x, chunks=(each, -1))
        found = fd.token_logprobs(lazy, targets)
        assert on(client, fd.score_text(found.logprobs)) == fl.score_text(right.logprobs)


def test_graphs_are_picklable_and_named_by_content() -> None:
    x = da.from_array(matrix((20,)), chunks=(5, V))
    found, again = (fd.token_logprobs(x, ids((20,)), **ALL).logprobs for _ in range(2))
    assert found.name == again.name
    assert found.name != fd.token_logprobs(x, ids((20,)), temperature=2.0).logprobs.name
    same(pickle.loads(pickle.dumps(found)), found.compute())


@pytest.mark.parametrize("name", ["_arrays", "_scoring", "_comparison", "_calibration", "_temperature", "_labels"])
def test_docstrings(name: str) -> None:
    module = importlib.import_module(f"fastlogits.dask.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 3
    assert found.failed == 0
    for each in fd.__all__:
        assert ">>>" in (inspect.getdoc(getattr(fd, each)) or ""), each


def test_without_dask(tmp_path: Path) -> None:
    """The package itself needs no dask, and the import of fastlogits.dask says how to get it."""
    code = """import sys; sys.modules["dask"] = None
import fastlogits
try: import fastlogits.dask
except ImportError as error: print(error)"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True, cwd=rows.ROOT
    )
    assert done.stdout.strip() == 'fastlogits.dask needs dask: pip install "dask[array]"'


def test_example() -> None:
    """Started as its users start it, for workers import the main program."""
    pytest.importorskip("distributed", reason="distributed is not installed: pip install distributed")
    done = subprocess.run(
        [sys.executable, "examples/dask_scoring.py", "1000"], capture_output=True, text=True, timeout=300, check=True,
        cwd=rows.ROOT,
    )  # fmt: skip
    cluster, here = (line.partition(":")[2].split() for line in done.stdout.splitlines())
    assert cluster == here
    assert cluster[0] == "perplexity"
