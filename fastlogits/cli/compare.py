"""``fastlogits compare``: the distributions of two files of logits row by row, chunk by chunk, resumable."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import fastlogits
from fastlogits.cli import UserError, inputs, report
from fastlogits.cli.state import Ledger, count, packed, unpacked
from fastlogits.cli.tables import lines, status_words, texts

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

MEASURES = ("kl", "reverse_kl", "js", "total_variation", "cross_entropy")


@dataclass(frozen=True)
class Extreme:
    """The largest value of a measure and the first row that has it."""

    value: float
    row: int

    def plain(self) -> list[Any]:
        """In JSON's types, infinity included."""
        return [repr(self.value), self.row]


@dataclass(frozen=True)
class Totals:
    """Exact totals of the rows so far, their extremes, and how many were left out; merged by ``+``."""

    sums: fastlogits.ComparisonTotals
    most: dict[str, Extreme]
    skipped: int

    def __add__(self, other: Totals) -> Totals:
        """The totals of both; `other` holds later rows."""
        most = dict(other.most)
        for name, mine in self.most.items():
            most[name] = max(mine, most.get(name, mine), key=lambda extreme: (extreme.value, -extreme.row))
        return Totals(self.sums + other.sums, most, self.skipped + other.skipped)

    def plain(self) -> dict[str, Any]:
        """In JSON's types."""
        sums = {name: packed(total) for name, total in self.sums.sums.items()}
        most = {name: extreme.plain() for name, extreme in self.most.items()}
        return {"rows": self.sums.rows, "sums": sums, "most": most, "skipped": self.skipped}

    @classmethod
    def of(cls, value: dict[str, Any] | None, done: int) -> Totals | None:
        """What `plain` gave of the first `done` rows."""
        if value is None:
            return None
        rows, skipped = count(value["rows"], done), count(value["skipped"], done)
        sums = {name: unpacked(value["sums"][name]) for name in (*MEASURES, "agreement")}
        most = {name: Extreme(float(number), count(row, done - 1)) for name, (number, row) in value["most"].items()}
        if rows + skipped != done or most.keys() != (set(MEASURES) if rows else set()):
            raise ValueError("the totals are not those of the rows")
        return cls(fastlogits.ComparisonTotals(rows, sums), most, skipped)


@dataclass(frozen=True)
class Measure:
    """One measure over all rows that count."""

    mean: float
    total: float
    largest: float
    largest_row: int


@dataclass(frozen=True)
class Compared:
    """The report; natural logarithms. `agreement` is the share of the `top_n` most likely tokens that both have."""

    p: str
    q: str
    vocab: int
    temperature: float
    beta: float
    top_n: int
    rows: int
    skipped: int
    agreement: float
    measures: dict[str, Measure]


class Comparing:
    """The work on one chunk after the other."""

    def __init__(self, options: argparse.Namespace, p: inputs.Named, q: inputs.Named) -> None:
        self.options, self.named = options, (p, q)
        self.sides = inputs.rows_of(p.array), inputs.rows_of(q.array)
        self.totals: Totals | None = None

    def part(self, begin: int, end: int) -> tuple[dict[str, Any], bytes]:
        """All totals with rows `begin` to `end`, and their lines of the CSV."""
        found, status = self.ask(slice(begin, end), "status")
        bad = np.flatnonzero(status)
        if bad.size and self.options.nan == "raise":
            self.refuse(begin + int(bad[0]), int(status[bad[0]]))
        good = np.flatnonzero(status == 0)
        most = {name: largest(getattr(found, name), good, begin) for name in MEASURES if good.size}
        here = Totals(found.totals(), most, bad.size)
        self.totals = self.totals + here if self.totals else here
        if not self.options.csv:
            return self.totals.plain(), b""
        columns = [texts(values) for values in found]
        return self.totals.plain(), lines(begin, status_words(status), columns)

    def restored(self, totals: dict[str, Any] | None, done: int) -> Totals | None:
        """The totals of a state in which the first `done` rows are done."""
        return Totals.of(totals, count(done, len(self.sides[0])))

    def check(self) -> None:
        """Refuses options out of range before anything is written."""
        try:
            self.ask(slice(0, 0), "raise")
        except (ValueError, TypeError) as error:
            raise UserError(error) from None

    def ask(self, rows: slice | int, on_error: str) -> Any:
        """The library's answer about some rows."""
        for each in self.named:
            each.check_length()
        wanted = dict.fromkeys(MEASURES, True)
        return fastlogits.compare_distributions(
            self.sides[0][rows], self.sides[1][rows], **wanted, top_n=self.options.top_n, beta=self.options.beta,
            temperature=self.options.temperature, on_error=on_error,
        )  # fmt: skip

    def refuse(self, row: int, status: int) -> None:
        """The error of a bad row, with its file: that of q if p has none."""
        try:
            self.ask(row, "raise")
        except ValueError as error:
            inputs.refuse(self.named[str(error).startswith("q_logits")], row, status)


def largest(values: NDArray[Any], good: NDArray[np.int64], first: int) -> Extreme:
    """The largest of the good values, and its row."""
    at = int(good[values[good].argmax()])
    return Extreme(float(values[at]), first + at)


def collect(options: argparse.Namespace) -> Compared:
    """Compare all rows, from where the state file says if there is one."""
    p, q = inputs.read_logits(options.a), inputs.read_logits(options.b)
    if p.array.shape != q.array.shape:
        raise UserError(f"{p.shown} has shape {list(p.array.shape)}, but {q.shown} {list(q.array.shape)}")
    if not 1 <= options.top_n <= p.array.shape[-1]:
        raise UserError(f"--top-n must be in [1, {p.array.shape[-1]}], got {options.top_n}")
    inputs.check_outputs(options, p, q)
    work = Comparing(options, p, q)
    work.check()
    size = inputs.chunk_rows(options, work.sides[0])
    csv = inputs.absolute(options.csv)
    chosen = {"temperature": options.temperature, "beta": options.beta, "top_n": options.top_n, "csv": csv}
    identity = {"command": "compare", "a": p.identity(), "b": q.identity(), "options": chosen}
    header = ",".join(["row", "status", *MEASURES, "agreement"]) + "\r\n"
    with Ledger(options.resume, identity, csv, header.encode()) as ledger:
        work.totals = ledger.restore(work.restored)
        inputs.check_skipped(options, work.totals.skipped if work.totals else 0)
        ledger.run("comparing", len(work.sides[0]), size, work.part)
    return told(options, work)


def told(options: argparse.Namespace, work: Comparing) -> Compared:
    """The figures of the totals."""
    totals, (p, q) = work.totals, work.named
    if totals is None or not totals.sums.rows:
        raise UserError(f"{p.shown}, {q.shown}: no row is left: all {len(work.sides[0])} are bad")
    measures = {
        name: Measure(totals.sums.mean(name), totals.sums.total(name), most.value, most.row)
        for name, most in ((name, totals.most[name]) for name in MEASURES)
    }
    return Compared(
        p.shown, q.shown, p.array.shape[-1], options.temperature, options.beta, options.top_n, len(work.sides[0]),
        totals.skipped, totals.sums.mean("agreement"), measures,
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Print or write the figures."""
    if options.json:
        report.put_json(collect(options), options.json)
        return
    from fastlogits.cli import screen

    view = screen.Screen()
    found = collect(options)
    left_out = f", {found.skipped:,} of them bad and left out" if found.skipped else ""
    view.print(f"p: {found.p}; q: {found.q}; T {found.temperature:g}")
    view.print(f"{found.rows:,} rows{left_out}, {found.vocab:,} logits each.")
    view.print()
    table = view.table(["measure", "mean", "total", "largest", "in row"])
    for name, measure in found.measures.items():
        figures = [f"{value:.6g}" for value in dataclasses.astuple(measure)[:3]]
        table.add_row(name.replace("_", " "), *figures, str(measure.largest_row))
    table.add_row(f"agreement of the top {found.top_n}", f"{found.agreement:.6g}", "", "", "")
    view.print(table)
