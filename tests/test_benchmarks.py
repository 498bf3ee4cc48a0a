"""The benchmarks run, compare like with like, and their idioms do the job that they stand for; no clock is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import rows

sys.path.append(str(rows.ROOT / "benchmarks"))

import jobs
from measure import BEST, KINDS, Case, cases, row, ulp

JOBS = {
    job.name: job
    for job in [
        *jobs.ARRAYS,
        *jobs.ENDS,
        *jobs.CALIBRATION,
        *jobs.SCORING,
        *jobs.SHARDS,
        *jobs.TEXTS,
        *jobs.COMPARISONS,
        *jobs.BLENDS,
        *jobs.LLAMA_CHAINS,
        *map(jobs.sampling, jobs.SAMPLERS.values()),
    ]
}
# Ulp of float32: a logarithm near 0, powers of an exponential, figures counted in 2^-23, sums of several rows.
LOOSE = {
    "logsumexp": 8,
    "eight temperatures": 12,
    "calibration_error": 8,
    "reliability_curve": 8,
    "brier_score": 8,
    "kl_divergence": 16,
}


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", JOBS)
def test_job(name: str, batch: int, isa: str) -> None:
    for kind in ("real", "peaky", "ties", "equal", "descending"):
        i = jobs.Inputs.of(Case(isa, 4096, batch, kind, offset=16))
        assert i.x.ctypes.data % 64 == 16
        JOBS[name].ours(i)()
        error, differ = JOBS[name].error(i)
        assert differ == 0, kind
        assert error <= LOOSE.get(name, 2), kind


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "logsumexp", "argmax", "probs"])
def test_idioms_of_functions(name: str) -> None:
    for batch in (1, 2):
        i = jobs.Inputs.of(Case(BEST, 4096, batch, "peaky"))
        ours: Any = np.copy(JOBS[name].ours(i)())  # type: ignore[call-overload]
        for peer in JOBS[name].peers.values():
            np.testing.assert_allclose(np.asarray(peer(i)()), ours, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", jobs.SAMPLERS)
def test_idioms_of_samplers(name: str) -> None:
    chain = jobs.SAMPLERS[name]
    i = jobs.Inputs.of(Case(BEST, 4096, 2, "flat"))
    found = chain.sampler(i).candidates(i.x, **chain.inputs(i))
    for number, drawn in enumerate(jobs.drawn(chain, i)):
        assert len(np.setxor1d(drawn.ids, found[number].ids)) <= 1, "float32 sums may end one token apart"


def test_rows() -> None:
    for kind in (*KINDS, "ties, real"):
        assert row(kind, 60_000, 0).shape == (60_000,)
    assert len(cases(grid=True)) == len(set(cases(grid=True))) >= 3 * 3 * 7 * 2
    assert set(cases(grid=False)) <= set(cases(grid=True))


def test_ulp() -> None:
    assert ulp(np.float32(1 + 2**-23), 1.0) == 1
    assert ulp([0.0, -np.inf], [1e-40, -np.inf]) == 0
    assert ulp([0.0], [-np.inf]) == np.inf


def run(*arguments: str) -> str:
    # pytest-benchmark measures nothing in what it takes for a worker of pytest-xdist.
    alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=rows.ROOT, env=alone, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_suite_runs() -> None:
    text = run("-m", "pytest", "benchmarks", "-q", "-k", f"argmax and {BEST}-32000x1", "--seconds", "0.001")
    assert "1 passed" in text
    assert "multiples of one read" in text


def test_table_runs() -> None:
    found = json.loads(run("benchmarks/table.py", "--only", "^argmax$|32 logits", "--seconds", "0.001", "--json"))
    assert [line["what"] for line in found["lines"]] == ["argmax", "chain, one row of 32 logits"]
    assert BEST in found["machine"]["instruction sets"]
