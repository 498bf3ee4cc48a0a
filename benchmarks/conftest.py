"""Options and fixtures: the cases of a run, and the measuring of one job on one of them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

sys.path.insert(0, str(Path(__file__).parent))  # where the files below find each other

import measure
from jobs import Inputs, Job
from measure import Case, Timed

import fastlogits._core as _core

LINES = pytest.StashKey[list[dict[str, Any]]]()
PEER_NAMES = ("NumPy", "SciPy")
PEERS = pytest.StashKey[dict[tuple[Any, ...], dict[str, float]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--grid", action="store_true", help="every case instead of a choice that takes a few minutes")
    parser.addoption("--seconds", type=float, default=0.2, help="time for the rounds of one measurement (0.2)")


def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_quiet = True  # the summary below shows the ratios beside the times
    config.stash[LINES], config.stash[PEERS] = [], {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        grid = metafunc.config.getoption("--grid")
        wanted = getattr(metafunc.module, "in_short_run", None)
        cases = [case for case in measure.cases(grid) if grid or wanted is None or wanted(case)]
        metafunc.parametrize("case", cases, ids=str, scope="module")


@pytest.fixture(scope="session", autouse=True)
def one_core() -> None:
    measure.pin()


@pytest.fixture
def isa(case: Case) -> Iterator[str]:
    """The instruction set of the case, in use."""
    before = _core.isa()
    _core.set_isa(case.isa)
    yield case.isa
    _core.set_isa(before)


@pytest.fixture
def measured(benchmark: BenchmarkFixture, case: Case, isa: str, pytestconfig: pytest.Config) -> Callable[[Job], None]:
    """Measures a job: its time by pytest-benchmark; ratio, peers and error beside it.

    `extra_info` gets ratio (to the read-once kernel on the same values on a cache line, best instruction set, in
    turns), peers (the same of each idiom) and faster (idiom's time over ours), ulp, and ids_differ.
    """

    def run(job: Job) -> None:
        inputs, seconds = Inputs.of(case), pytestconfig.getoption("--seconds")
        ours = job.ours(inputs)
        benchmark.pedantic(ours, rounds=5, iterations=1, warmup_rounds=1)  # type: ignore[no-untyped-call]
        error, differ = job.error(inputs)
        benchmark.group = job.name
        benchmark.extra_info |= {"job": job.name, "case": str(case), "ulp": error, "ids_differ": differ}
        if benchmark.disabled:
            return
        line = measure.matrix(case.kind, case.vocab, case.batch)
        unit = Timed(lambda: _core.read_once(line))
        ratio = measure.ratios({"unit": unit, "ours": Timed(ours, isa)}, seconds)["ours"]
        # The idioms depend on neither instruction set nor offset: timed once per shape and kind.
        key, known = (job.name, case.vocab, case.batch, case.kind), pytestconfig.stash[PEERS]
        if key not in known:
            calls = {name: Timed(peer(inputs)) for name, peer in job.peers.items()}
            known[key] = measure.ratios({"unit": unit, **calls}, seconds, fewest=3)
        faster = {name: peer / ratio for name, peer in known[key].items()}
        benchmark.extra_info |= {"ratio": ratio, "peers": known[key], "faster": faster}
        pytestconfig.stash[LINES].append(dict(benchmark.extra_info))

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash[LINES]
    if not lines:
        return
    write = terminalreporter.write_line
    terminalreporter.section("multiples of one read of the same rows, and errors")
    wide = 2 + max(len(line["job"]) for line in lines)
    write(f"{'job':<{wide}}{'case':<34}{'x':>9}{'NumPy':>10}{'SciPy':>10}{'ulp':>8}{'ids differ':>12}")
    for line in sorted(lines, key=lambda line: str(line["job"])):
        peers = "".join(f"{line['peers'].get(name, np.nan):>10.1f}" for name in PEER_NAMES).replace("nan", "   ")
        error = f"{line['ulp']:>8.2f}{line['ids_differ']:>12}"
        write(f"{line['job']:<{wide}}{line['case']:<34}{line['ratio']:>9.2f}{peers}{error}")
