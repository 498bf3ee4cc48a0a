"""``fastlogits calibrate``: confidence against accuracy before and after a fitted temperature, resumable.

The matrix is read several times: once at T = 1, some times for the fit, once at the fitted T. The results
of a read are stored next to the state, in STATE.rows. After an interruption the same steps are taken again, with the
stored reads in place of new ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import fastlogits
import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits._common import intake as _temperatures
from fastlogits._common import threads as _threads
from fastlogits.calibration import _figures, _intake, _temperature
from fastlogits.cli import UserError, inputs, page, report
from fastlogits.cli.state import Ledger, replace
from fastlogits.cli.tables import texts

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Figures:
    """At one temperature; the calibration error is that of the chosen norm, bins, strategy and rule."""

    temperature: float
    negative_log_likelihood: float
    calibration_error: float
    brier_score: float
    mean_confidence: float
    curve: fastlogits.ReliabilityCurve


@dataclass(frozen=True)
class Calibration:
    """The report."""

    logits: str
    targets: str
    vocab: int
    rows: int
    tokens: int
    ignored: int
    skipped: int
    bins: int
    norm: str
    strategy: str
    rule: str
    accuracy: float
    temperature: float
    at_bound: bool
    before: Figures
    after: Figures


class Reads:
    """Reads of the whole matrix, chunk by chunk, each on record in the ledger."""

    def __init__(self, options: argparse.Namespace, scored: inputs.Scored, ledger: Ledger) -> None:
        self.options, self.scored, self.ledger = options, scored, ledger
        self.size = inputs.chunk_rows(options, scored.rows)
        self.ids, self.base, self.offset, self.count = scored.ids, 0, 0, 0

    def read(self, step: float, power: int, count: int = _core.TEMPERATURES) -> _temperatures.Reading:
        """What the rows say at the inverse temperatures (power + k) step, k < count."""
        kind = np.dtype([("tails", "f8", (count,)), ("gap", "f8"), ("mean", "f8"), ("top", "i8"), ("status", "i4")])
        rows = len(self.ids)
        found = np.zeros(rows, kind)
        there = min(max(self.ledger.done - self.base, 0), rows)
        if there:
            known = np.fromfile(f"{self.options.resume}.rows", kind, there, offset=self.offset)
            if len(known) != there:
                raise UserError(f"{self.options.resume}: not a state of a fastlogits run: it has too few records")
            found[:there] = known

        def work(begin: int, end: int) -> tuple[None, bytes]:
            found[begin:end] = self.part(begin, end, step, power, kind)
            return None, found[begin:end].tobytes() if self.options.resume else b""

        self.count += 1
        self.ledger.run(f"read {self.count}", rows, self.size, work, self.base)
        self.base, self.offset = self.base + rows, self.offset + found.nbytes
        return self.reading(found, step, power)

    def part(self, begin: int, end: int, step: float, power: int, kind: np.dtype[Any]) -> NDArray[Any]:
        """The records of the rows `begin` to `end`."""
        ids, found = self.ids[begin:end], np.zeros(end - begin, kind)
        self.scored.logits.check_length()
        x = self.logits(begin, end)
        task = _core.TemperaturesTask(x, step, power, found["tails"].shape[1], ids)
        _threads.run_blocks(task.run, len(ids), _inputs.thread_count(None), x.shape[-1])
        bad = np.flatnonzero(task.status)
        if bad.size and self.options.nan == "raise":
            inputs.refuse(self.scored.logits, begin + int(bad[0]), int(task.status[bad[0]]))
        good = (ids >= 0) & (task.status == 0)
        assert task.targets_at is not None
        columns = {"tails": task.tails, "mean": task.means, "top": task.ids}
        for name, values in columns.items():
            found[name][good] = values[good]
        found["gap"][good] = task.tops[good] - task.targets_at[good]
        found["status"] = task.status
        return found

    def logits(self, begin: int, end: int) -> NDArray[Any]:
        """Rows of the file as logits: the logarithms of probabilities."""
        x = _temperatures.logits_of(self.scored.rows[begin:end])
        if not self.options.probabilities:
            return x
        p = x.astype(np.float64)
        off = (p < 0).any(-1) | (np.abs(p.sum(-1) - 1) > _intake.SUM_TOLERANCE)
        wrong = np.flatnonzero(off & (self.ids[begin:end] >= 0))
        if wrong.size:
            row, total = begin + int(wrong[0]), p[wrong[0]].sum()
            found = f"row {row} must hold probabilities that sum to 1, got the sum {total:g}"
            raise UserError(f"{self.scored.logits.shown}: {found} (--no-probabilities takes it for logits)")
        return _intake.logarithms(p, np.float64 if x.dtype == np.float64 else np.float32)

    def reading(self, found: NDArray[Any], step: float, power: int) -> _temperatures.Reading:
        """The records of the rows that take part: bad ones are left out of further reads."""
        bad = found["status"] != 0
        inputs.check_skipped(self.options, int(np.count_nonzero(bad)))
        self.ids = np.where(bad, -1, self.ids)
        rows = np.flatnonzero(self.ids >= 0)
        if not rows.size:
            shown, ignored = self.scored.logits.shown, self.scored.ignored
            raise UserError(f"{shown}: no row is left: {len(self.ids) - ignored} are bad, {ignored} ignored")
        kept = found[rows]
        betas = (power + np.arange(kept["tails"].shape[1])) * np.float64(step)
        return _temperatures.Reading(
            betas, rows, kept["top"], self.ids[rows], kept["tails"], kept["gap"], kept["mean"]
        )  # fmt: skip


def figures(options: argparse.Namespace, seen: _temperatures.Reading, temperature: float) -> Figures:
    """The figures of a reading at 1/T and 2/T."""
    confidences, correct = np.exp(-seen.tails[:, 0]), seen.correct
    how: dict[str, Any] = {"bins": options.bins, "strategy": options.strategy, "rule": options.rule}
    return Figures(
        temperature, seen.loss(0), fastlogits.calibration_error(confidences, correct, norm=options.norm, **how),
        _intake.mean(_figures.squared_distances(seen)), math.fsum(confidences.tolist()) / len(confidences),
        fastlogits.reliability_curve(confidences, correct, **how),
    )  # fmt: skip


def collect(options: argparse.Namespace) -> Calibration:
    """All reads, those on record from there; the curves as CSV if wanted."""
    if options.bins < 1:
        raise UserError(f"--bins must be >= 1, got {options.bins}")
    scored = inputs.read_scored(options)
    inputs.check_outputs(options, scored.logits, scored.targets)
    if options.probabilities is None and _intake.look_like_probabilities(scored.rows, scored.ids):
        raise UserError(
            f"{scored.logits.shown}: rows without a negative value that all sum to 1 look like probabilities: "
            "give --probabilities, or --no-probabilities if they are logits"
        )
    chosen = {"ignore_index": options.ignore_index, "probabilities": bool(options.probabilities)}
    identity = {"command": "calibrate", **scored.identity(), "options": chosen}
    records = None if options.resume is None else f"{options.resume}.rows"
    with Ledger(options.resume, identity, records) as ledger:
        reads = Reads(options, scored, ledger)
        seen = reads.read(1.0, 1, 2)
        before = figures(options, seen, 1.0)
        outer = (len(scored.ids),)
        try:
            fit = _temperature.fit(
                lambda step, power: _temperature.Rows.of(reads.read(step, power), outer), _temperature.BOUNDS
            )
        except ValueError as error:
            raise UserError(f"{scored.logits.shown}: {error}") from None
        after = figures(options, reads.read(1.0 / fit.temperature, 1, 2), fit.temperature)
    tokens, ignored = len(seen.rows), scored.ignored
    found = Calibration(
        scored.logits.shown, scored.targets.shown, scored.rows.shape[1], len(scored.ids), tokens, ignored,
        len(scored.ids) - tokens - ignored, options.bins, options.norm, options.strategy, options.rule,
        np.count_nonzero(seen.correct) / tokens, fit.temperature, fit.at_bound, before, after,
    )  # fmt: skip
    if options.csv is not None:
        replace(options.csv, curves(found))
    if options.report is not None:
        page.write_calibration(options, found)
    return found


def curves(found: Calibration) -> bytes:
    """Both reliability curves, a line per bin; an empty bin has no means."""
    names = fastlogits.ReliabilityCurve._fields
    told = [",".join(["temperature", *names])]
    for side in (found.before, found.after):
        for cells in zip(*map(texts, side.curve), strict=True):
            told.append(",".join([str(side.temperature), *("" if cell == "nan" else cell for cell in cells)]))  # noqa: PERF401
    return "".join(f"{line}\r\n" for line in told).encode()


def run(options: argparse.Namespace) -> None:
    """Print or write the figures."""
    if options.json:
        report.put_json(collect(options), options.json)
        return
    from fastlogits.cli import screen

    view = screen.Screen()
    found = collect(options)
    left_out = f", {found.ignored:,} ignored, {found.skipped:,} bad" if found.ignored or found.skipped else ""
    view.print(
        f"{found.logits} against {found.targets}: {found.tokens:,} tokens{left_out}; accuracy {found.accuracy:.4f}."
    )
    bound = " (the end of its range)" if found.at_bound else ""
    view.print(f"Fitted temperature {found.temperature:.4f}{bound}; {found.bins} bins, {found.norm}, {found.rule}.")
    view.print()
    table = view.table(["figure", "before", "after"])
    for name in ("negative_log_likelihood", "calibration_error", "brier_score", "mean_confidence"):
        values = [f"{getattr(side, name):.6g}" for side in (found.before, found.after)]
        table.add_row(name.replace("_", " "), *values)
    view.print(table)
    view.print()
    curve = found.after.curve
    table = view.table(["confidence after", "tokens", "promised", "came true", "95 % interval"])
    for low, high, count, promised, kept, least, most in zip(*curve, strict=True):
        if count:
            shares = f"{promised:.4f}", f"{kept:.4f}", f"{least:.3f} to {most:.3f}"
            table.add_row(f"{low:.3f} to {high:.3f}", f"{count:,}", *shares)
    view.print(table)
