"""The table of bars: each job as a multiple of one read of its row, beside its bar, its error and the usual idiom.

    python benchmarks/table.py [--markdown | --json] [--only REGEX] [--seconds 0.3] [--core N]

One read is the AVX-512 maximum scan (the best instruction set of the machine) of the same row on a cache line, hot in
the cache and timed in turns with the job, on one core. A figure is the median over the rounds, on the worst of the
rows of its line; the idioms' is that of their best row. Only the batch comes from memory.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import platform
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field

import numpy as np
import scipy
from jobs import ARRAYS, LLAMA_CHAINS, SAMPLERS, Chain, Inputs, Job, drawn, sampling
from measure import BEST, Timed, pin, placed, ratios, row, turns

import fastlogits
import fastlogits._core as _core
from fastlogits import cpu

VOCAB, BATCH, ROWS = 128_256, 64, 3
ISAS: list[str] = [isa for isa in ("avx512", "avx2") if isa in _core.isas()] or [BEST]
SLOWER = {"avx2": 2.5}  # how many times the bar an instruction set may take
ROUNDED = ("equal", "ties", "ties, real")
DENSITIES = (0.98, 0.5, 0.02)


@dataclass
class Line:
    """What was measured: multiples of `unit` by instruction set, with the worst row, and by idiom; worst error."""

    what: str
    bar: float
    unit: str = "one read"
    ours: dict[str, float] = field(default_factory=dict)
    row: dict[str, str] = field(default_factory=dict)
    peers: dict[str, float] = field(default_factory=dict)
    ulp: float = 0.0
    ids_differ: int = 0

    def add(self, row: str, ours: Mapping[str, float], peers: Mapping[str, float], error: tuple[float, int]) -> None:
        """Keep what is worst for us and what is best for the idioms."""
        for isa in ISAS:
            if ours[isa] > self.ours.get(isa, -np.inf):
                self.ours[isa], self.row[isa] = ours[isa], row
        for name, ratio in peers.items():
            self.peers[name] = min(ratio, self.peers.get(name, np.inf))
        self.ulp, self.ids_differ = max(self.ulp, error[0]), max(self.ids_differ, error[1])

    def bar_of(self, isa: str) -> float:
        """The bar of an instruction set."""
        return self.bar * SLOWER.get(isa, 1.0)


@functools.cache
def inputs(kind: str, number: int, density: float = 0.5) -> Inputs:
    """One row with its context, bias, mask and room for a result."""
    x = placed(row(kind, VOCAB, number))
    return Inputs(x, placed(np.zeros_like(x)), density)


def on_each_isa(call: Callable[[], object]) -> dict[str, Timed]:
    """The call under each instruction set of the table."""
    return {isa: Timed(call, isa) for isa in ISAS}


def worst_error(job: Job, i: Inputs) -> tuple[float, int]:
    """Worst ulp and most ids that differ over the instruction sets."""
    before, found = _core.isa(), []
    for isa in ISAS:
        _core.set_isa(isa)
        found.append(job.error(i))
    _core.set_isa(before)
    return max(each for each, _ in found), max(each for _, each in found)


def hot(what: str, bar: float, job: Job, kinds: tuple[str, ...], seconds: float) -> Line:
    """A job on rows of some kinds."""
    line = Line(what, bar)
    for kind, number in itertools.product(kinds, range(ROWS)):
        if kind == "equal" and number:
            continue
        i = inputs(kind, number)
        unit = {"unit": Timed(functools.partial(_core.read_once, i.x))}
        ours = ratios({**unit, **on_each_isa(job.ours(i))}, seconds, 15)
        peers = ratios({**unit, **{name: Timed(peer(i)) for name, peer in job.peers.items()}}, seconds / 4)
        line.add(f"{kind} {number}", ours, peers, worst_error(job, i))
    return line


def masked(what: str, chain: Chain, kinds: tuple[str, ...], seconds: float) -> Line:
    """What a packed mask adds to a pipeline."""
    line = Line(what, 0.6)
    plain, with_mask = (sampling(Chain(chain.name, chain.keywords, chain.edits, mask)) for mask in (False, True))
    for kind, number, density in itertools.product(kinds, range(ROWS), DENSITIES):
        i = inputs(kind, number, density)
        calls = {"unit": Timed(functools.partial(_core.read_once, i.x))}
        for job in (plain, with_mask):
            calls |= {f"{isa} {job is with_mask}": each for isa, each in on_each_isa(job.ours(i)).items()}
        found = ratios(calls, seconds, 15)
        added = {isa: found[f"{isa} True"] - found[f"{isa} False"] for isa in ISAS}
        line.add(f"{kind} {number}, {density:.0%} allowed", added, {}, worst_error(with_mask, i))
    return line


def from_memory(seconds: float) -> Line:
    """The top-k chain on matrices that take turns, together far beyond the caches."""
    chain = SAMPLERS["chain"]
    first = np.stack([row("real", VOCAB, number) for number in range(BATCH)])
    ring = itertools.cycle([placed(np.roll(first, shift, axis=0)) for shift in range(4)])
    i = Inputs(next(ring), placed(np.zeros(1)))
    sampler = chain.sampler(i)
    unit = {"unit": Timed(lambda: _core.read_once(next(ring)))}
    ours = ratios({**unit, **on_each_isa(lambda: sampler.sample(next(ring), rng=7))}, 4 * seconds, 30)
    peers = ratios({**unit, "NumPy": Timed(lambda: drawn(chain, i))}, seconds, 3)
    line = Line(f"chain, {BATCH} rows from memory", 1.2, "one read of the matrix")
    line.add("real", ours, peers, sampling(chain).error(i))
    return line


def small(seconds: float) -> Line:
    """One call on a row of 32 logits."""
    chain = SAMPLERS["chain"]
    x = placed(row("flat", 32, 0))
    sampler = chain.sampler(Inputs(x, x))
    names = {"s": sampler, "x": x, "f": np.argmax}
    unit = {"unit": Timed("f(x)", names=names)}
    ours = ratios({**unit, **{isa: Timed("s.sample(x, rng=7)", isa, names) for isa in ISAS}}, 2 * seconds, 30)
    line = Line("chain, one row of 32 logits", 0.8, "np.argmax(row)")
    line.add("flat", ours, {}, sampling(chain).error(Inputs(x, x)))
    return line


def lines(wanted: str, seconds: float) -> Iterator[Line]:
    """All lines whose name matches."""
    jobs = {job.name: job for job in [*ARRAYS, *LLAMA_CHAINS]} | {
        name: sampling(chain) for name, chain in SAMPLERS.items()
    }
    usual, by_rank, likely = ("real", "peaky", "flat"), ("ascending", "descending"), ("real", "peaky")
    plan: list[tuple[str, float, str, tuple[str, ...]]] = [
        ("argmax", 1.4, "argmax", usual),
        ("top_k 40", 2, "top_k 40", usual),
        ("top_k 40, sorted rows", 2.5, "top_k 40", by_rank),
        ("top_k 1000", 8, "top_k 1000", usual),
        ("top_k 1000, sorted rows", 11, "top_k 1000", by_rank),
        ("logsumexp", 7, "logsumexp", usual),
        ("softmax", 10, "softmax", usual),
        ("log_softmax", 10, "log_softmax", usual),
        ("chain", 2.3, "chain", usual),
        ("edits, chain", 3.3, "edits, chain", usual),
        ("edits, T, top_p: real", 9, "edits, T, top_p", ("real",)),
        ("edits, T, top_p: peaky", 9, "edits, T, top_p", ("peaky",)),
        ("edits, T, top_p: flat", 20, "edits, T, top_p", ("flat",)),
        ("T, min_p: real and peaky", 2.5, "T, min_p", likely),
        *((name, bar, name, usual) for name, bar in (("llama.cpp's chain", 4), ("llama.cpp's chain on records", 12))),
    ]
    for what, bar, name, kinds in plan:
        if re.search(wanted, what):
            yield hot(what, bar, jobs[name], kinds, seconds)
    # On rounded rows the nucleus is that of the rows that were rounded: the bar of the real or of the flat rows.
    for what, bar, name, kinds in plan:
        if "sorted" in what or "peaky" in what.split(":")[-1].split():
            kinds = ()
        elif kinds == usual:
            kinds = ROUNDED
        else:
            kinds = ("ties, real",) if kinds == ("real",) else ("equal", "ties")
        title = f"{what.split(':')[0]}: {' / '.join(kinds)}".replace("ties", "rounded")
        if kinds and re.search(wanted, title):
            yield hot(title, 1.5 * bar, jobs[name], kinds, seconds)
    title = "T, min_p: equal / rounded, real"
    if re.search(wanted, title):
        yield hot(title, 1.5 * 2.5, jobs["T, min_p"], ("equal", "ties, real"), seconds)
    for name in ("chain", "edits, chain", "edits, T, top_p", "T, min_p"):
        title = f"+ packed mask: {name}"
        if re.search(wanted, title):
            yield masked(title, SAMPLERS[name], likely if name == "T, min_p" else usual, seconds / 2)
    if re.search(wanted, "chain, 64 rows from memory"):
        yield from_memory(seconds)
    if re.search(wanted, "chain, one row of 32 logits"):
        yield small(seconds)


def machine(core: int | None, argv: list[str]) -> dict[str, str]:
    """What the figures were taken on and with."""
    x = inputs("flat", 0).x
    once = min(times["unit"] for times in turns({"unit": Timed(functools.partial(_core.read_once, x))}, 0.2))
    return {
        "CPU": cpu.name() + ("" if core is None else f", pinned to core {core} of {os.cpu_count()}"),
        "instruction sets": ", ".join(_core.isas()),
        "versions": f"fastlogits {fastlogits.__version__}, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}",
        "row": f"{VOCAB} float32; one read ({BEST}) takes {once * 1e6:.2f} us",
        "load average": " ".join(f"{load:.2f}" for load in os.getloadavg()) + " at the start",
        "command": shlex.join(["python", "benchmarks/table.py", *argv]),
    }


def cells(line: Line) -> list[str]:
    """A line of the table; a star marks what is above its bar."""
    shown = [line.what + ("" if line.unit == "one read" else f" (x {line.unit})")]
    for isa in ISAS:
        ratio, bar = line.ours[isa], line.bar_of(isa)
        shown += [f"{bar:.4g}", f"{ratio:.2f}" + ("*" if ratio > bar else "")]
    shown += [f"{line.peers[name]:.3g}" if name in line.peers else "" for name in ("NumPy", "SciPy")]
    return [*shown, f"{line.ulp:.2f}" + f" {line.ids_differ} ids differ" * bool(line.ids_differ), line.row[ISAS[0]]]


def plain_text(line: list[str]) -> str:
    """Cells in columns."""
    first, *figures, last = line
    return f"{first:<56}" + "".join(f"{cell:>11}" for cell in figures) + f"  {last}"


def main(argv: list[str]) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="a table for a README")
    form.add_argument("--json", action="store_true", help="everything, unrounded")
    parser.add_argument("--only", default="", metavar="REGEX", help="lines whose name matches")
    parser.add_argument("--seconds", type=float, default=0.3, help="for one job on one row (0.3)")
    parser.add_argument("--core", type=int, help="the core to stay on (the last one)")
    options = parser.parse_args(argv)
    about = machine(pin(options.core), argv)
    found = lines(options.only, options.seconds)
    if options.json:
        json.dump({"machine": about, "lines": [asdict(line) for line in found]}, sys.stdout, indent=1)
        print()
        return
    head = [
        "job",
        *(title for isa in ISAS for title in ("bar", isa)),
        "NumPy",
        "SciPy",
        "worst ulp",
        f"worst row ({ISAS[0]})",
    ]
    mark = "- " if options.markdown else ""
    print(*(f"{mark}{name}: {value}" for name, value in about.items()), "", sep="\n")
    if options.markdown:
        print("|".join(["", *head, ""]), "|".join(["", "---", *["---:"] * (len(head) - 2), "---", ""]), sep="\n")
    else:
        print(plain_text(head))
    for line in found:
        print("|".join(["", *cells(line), ""]) if options.markdown else plain_text(cells(line)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
