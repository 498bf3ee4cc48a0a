"""`fastlogits bench`: results are checked before anything is timed, and text, JSON, Markdown and picture say the same.

No clock is judged. Each peer is tested where its package is installed.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import re
import warnings
from typing import Any

import numpy as np
import pytest
import rows as files

from fastlogits.bench import comparison, jobs, peers, picture, rows, tables, timing
from fastlogits.bench.checks import Distribution, Found, Values, ulp
from fastlogits.bench.jobs import JOBS, Contestant
from fastlogits.bench.peers import Peer

SMALL = comparison.Settings(vocab=2000, seconds=0.001)


def installed(name: str) -> Peer:
    package = name.replace("-", "_")
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    with warnings.catch_warnings(action="ignore"):
        return peers.load(name)


def compared(only: str, *others: Peer, **changes: Any) -> comparison.Report:
    settings = comparison.Settings(**{**vars(SMALL), "only": only, **changes})
    return comparison.compare(settings, others, command="the command")


def says(value: float, token: int = 0) -> jobs.Job:
    """A peer's way: a value whatever the row."""
    return lambda i: Contestant(lambda: None, lambda: Found(None, np.float32(value)))  # type: ignore[return-value]


# ---- what counts as the same ---------------------------------------------------------------------------------------


def test_ulp_of_types() -> None:
    assert ulp(np.float32(1 + 2**-23), 1.0) == 1
    assert ulp(1 + 2**-10, 1.0, "float16") == 1
    assert ulp(1 + 2**-7, 1.0, "bfloat16") == 1
    assert ulp(1 - 2**-24, 1.0) == 0.5
    assert ulp([0.0, -np.inf], [1e-40, -np.inf]) == 0
    assert ulp(2**-24, 0.0, "float16") == 1, "float16 underflows gradually"
    assert ulp([np.nan], [1.0]) == np.inf
    assert ulp([0.0], [-np.inf]) == np.inf
    assert ulp([0.0, 1.0], [0.0]) == np.inf


def test_values() -> None:
    check, exact = Values(rtol=1e-3), Found(np.array([3, 1]), np.array([2.0, -np.inf]))

    def verdict(ids: Any, values: Any) -> Any:
        return check(Found(ids and np.array(ids), values and np.array(values, np.float32)), exact, "float32")

    assert verdict([3, 1], [2.001, -np.inf]).same
    assert verdict([3, 1], [2.001, -np.inf]).ulp == pytest.approx(4195, abs=1)
    assert "1 values differ, the first at 0: 2.01 for 2" in verdict([3, 1], [2.01, -np.inf]).note
    assert "1 values differ, the first at 1" in verdict([3, 1], [2.0, -1e30]).note
    assert not verdict([3, 1], [2.0, np.nan]).same
    assert not verdict([3, 1], [np.nan, -np.inf]).same
    assert verdict([1, 3], [2.0, -np.inf]).note == "2 ids differ, the first at 0: 1 for 3"
    assert verdict([3], [2.0, -np.inf]).note == "1 ids where 2 are right"
    assert verdict([3, 1], [2.0]).note == "1 values where 2 are right"
    assert verdict(None, [2.0, -np.inf]).note == "gives something else"
    assert verdict([3, 1], None).note == "gives something else"


def test_equal_values_in_another_order() -> None:
    exact = Found(np.array([3, 1, 2, 7]), np.array([5.0, 5.0, 4.0, 3.0]))

    def verdict(*ids: int) -> Any:
        return Values()(Found(np.array(ids), exact.values), exact, "float32")

    assert verdict(1, 3, 2, 7) == (True, 0.0, "2 ids among equal values differ")
    assert verdict(3, 1, 2, 9) == (True, 0.0, "1 ids among equal values differ"), "the last may go on behind the cut"
    assert not verdict(3, 9, 2, 7).same
    assert not verdict(3, 1, 9, 7).same
    assert not verdict(3, 1, 2, 1).same
    assert not verdict(3, 3, 2, 7).same


def test_distributions() -> None:
    exact = Found(np.array([5, 2, 9]), np.array([0.6, 0.4 - 1e-7, 1e-7]))

    def verdict(ids: Any, probs: Any) -> Any:
        return Distribution()(Found(np.array(ids), np.array(probs, np.float32)), exact, "float32")

    assert verdict([2, 9, 5], [0.4, 1e-7, 0.6]).same
    one_less = verdict([5, 2], [0.6, 0.4])
    assert one_less.same
    assert (one_less.note, one_less.ulp) == ("keeps 2 tokens, 1 fewer", None)
    assert "keeps the same 3 tokens; total variation 0.1" in verdict([5, 2, 9], [0.5, 0.5, 1e-7]).note
    assert "keeps 4 tokens, 1 more; total variation 0.05" in verdict([5, 2, 9, 1], [0.6, 0.35, 1e-7, 0.05]).note
    assert not verdict([5, 2, 9, 9], [0.6, 0.4, 1e-7, 0.1]).same, "a token named twice"
    assert not verdict([5, 2, 9], [np.nan, 0.4, 1e-7]).same
    assert not Distribution()(Found(None, None), exact, "float32").same


# ---- the registry --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", JOBS)
def test_ours(name: str, isa: str) -> None:
    job = JOBS[name]
    for kind in ("real", "peaky", "flat"):
        i = rows.Inputs.like(rows.row(kind, 4096, 0), job.dtype or "float32")
        contestant = job.ours(i)
        contestant.call()
        found = job.verdict(contestant, i)
        assert found.same, found.note
        assert found.note == ""
        assert (found.ulp or 0) <= (16 if name == "kl_divergence" else 2)


@pytest.mark.parametrize("name", peers.INSTALL)
def test_peers(name: str) -> None:
    """Each does what it says it does, on rows where float32 decides nothing."""
    peer = installed(name)
    assert set(peer.ways) <= set(JOBS)
    assert all(peer.versions().values())
    for title, way in peer.ways.items():
        job = JOBS[title]
        for kind, cold in (("peaky", False), ("real", True)):
            i = rows.Inputs.like(rows.row(kind, 4096, 0), job.dtype or "float32", cold)
            with warnings.catch_warnings(action="ignore"):
                contestant = way(i)
                contestant.call()
                found = job.verdict(contestant, i)
            assert found.same, (title, kind, found.note)


def test_a_peer_sees_another_row_differ() -> None:
    """The negative control: what is right on one row is wrong on another, for every job."""
    numpy = peers.load("numpy")
    for title, way in numpy.ways.items():
        job = JOBS[title]
        one, other = (rows.Inputs.like(rows.row(kind, 2000, 0), job.dtype or "float32") for kind in ("flat", "real"))
        assert not job.verdict(way(other), one).same, title


def test_real_rows_have_no_equal_likely_values() -> None:
    row = np.sort(rows.row("real", 60_000, 0))[::-1].astype(np.float32)
    assert len(np.unique(row[:1001])) == 1001
    stored = rows.bundled_logits()[0]
    made = rows.row("real", stored.size, 0).astype(np.float32)
    assert np.all(np.abs(made - stored) <= np.spacing(np.abs(stored)).astype(np.float32) * 0.51)


# ---- checking, then timing -----------------------------------------------------------------------------------------


def test_a_wrong_result_is_not_timed() -> None:
    wrong = Peer("wrong", (), {"logsumexp": says(1e6)})
    (line,) = compared("^logsumexp$", wrong).lines
    ours, other = line.entries
    assert (ours.by, ours.status) == ("fastlogits", "same")
    assert (other.by, other.status, other.seconds, other.ratio, other.faster) == ("wrong", "differs", None, None, False)
    assert "1 values differ, the first at 0: 1000000 for" in other.note


def test_what_a_peer_raises_is_told() -> None:
    def broken(i: rows.Inputs) -> Contestant:
        raise RuntimeError("no\nsuch operator")

    (line,) = compared("^argmax$", Peer("broken", (), {"argmax": broken})).lines
    assert (line.entries[1].status, line.entries[1].note) == ("failed", "RuntimeError: no such operator")


def test_whoever_is_faster_is_marked() -> None:
    def known(i: rows.Inputs) -> Contestant:
        exact = JOBS["softmax"].exact(i)
        return Contestant(lambda: None, lambda: Found(None, exact.values.astype(np.float32)))

    made = compared("^softmax$", Peer("fast", (), {"softmax": known}), vocab=100_000)
    assert made.lines[0].entries[1].faster
    assert tables.lost(made) == ["softmax by fast"]
    assert re.search(r"\| \*\*0\.\d+\*\* \(0\.50\) \|", tables.markdown(made))
    texts = [text.get_text() for text in picture.drawn(made).axes[0].texts]
    assert any("faster than fastlogits" in text for text in texts)


def test_rows_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "last_cache", lambda: 20_000)
    made = compared("^(argmax|top_k 40|chain)$", peers.load("numpy"), cold=True)
    assert (made.cold, made.rows_in_turn) == (True, 5)
    assert all(entry.status == "same" and entry.seconds for line in made.lines for entry in line.entries)
    assert comparison.last_cache() == 20_000


def test_contestants_share_the_order_of_rows() -> None:
    seen: list[tuple[str, int]] = []
    places = itertools.cycle(range(3))
    calls = [
        comparison.in_turn([lambda who=who, k=k: seen.append((who, k)) for k in range(3)], places)  # type: ignore[misc]
        for who in "ab"
    ]
    for each in (0, 0, 1, 0):
        calls[each]()
    assert seen == [("a", 0), ("a", 1), ("b", 2), ("a", 0)]


def test_rows_of_half_types() -> None:
    for dtype in ("float16", "bfloat16"):
        made = compared("^(argmax|logsumexp|softmax|chain|T, min_p)$", peers.load("numpy"), dtype=dtype)
        for line in made.lines:
            assert line.dtype == dtype
            assert [entry.status for entry in line.entries] == ["same", "same"], line


def test_turns() -> None:
    seen: list[str] = []
    calls = {name: timing.Timed(lambda name=name: seen.append(name)) for name in "ab"}  # type: ignore[misc]
    found = list(timing.turns(calls, 0.0))
    assert len(found) == 5
    assert all(times[name] > 0 for times in found for name in "ab")
    assert set(seen) == {"a", "b"}


def test_the_cores_of_a_process_are_given_back() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("the system does not pin processes")
    before = os.sched_getaffinity(0)
    with timing.on_one_core() as core:
        assert os.sched_getaffinity(0) == {core}
    assert os.sched_getaffinity(0) == before


def test_readme() -> None:
    """Its table has the columns and the jobs of the registry, and names the command that made it."""
    text = (files.ROOT / "README.md").read_text()
    head, *body = re.search(r"^\| \| fastlogits \|.*\n(?:\|.*\n)+", text, re.MULTILINE)[0].splitlines()  # type: ignore[index]
    assert head == "| | " + " | ".join(["fastlogits", *peers.INSTALL]) + " |"
    assert [line.split(" | ")[0].removeprefix("| ") for line in body[1:]] == [job.says for job in JOBS.values()]
    assert "`fastlogits bench --against " + ",".join(peers.INSTALL) in text
    assert (files.ROOT / "docs" / "bench.svg").exists()
