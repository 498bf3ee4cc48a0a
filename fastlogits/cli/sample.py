"""``fastlogits sample``: a token and its log-probs for each row of a user's files."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastlogits.cli import UserError, report
from fastlogits.cli.steering import FileRow, rows_of, sampler_of

if TYPE_CHECKING:
    import argparse


@dataclass(frozen=True)
class Choice:
    """One of the most likely tokens."""

    id: int
    logprob: float


@dataclass(frozen=True)
class Token:
    """What was drawn from one row: processed log-prob and rank, and the log-prob in the logits as they came."""

    file: str
    row: int
    id: int
    logprob: float
    raw_logprob: float
    rank: int
    top: list[Choice]


@dataclass(frozen=True)
class Samples:
    """All rows, drawn by one Sampler."""

    sampler: str
    seed: int
    rows: list[Token]


def collect(options: argparse.Namespace) -> Samples:
    """Draw from every chosen row. Its number is its key, so a row's token does not depend on the other rows."""
    if options.logprobs < 0:
        raise UserError(f"--logprobs must be >= 0, got {options.logprobs}")
    sampler = sampler_of(options)
    seed = secrets.randbits(32) if options.seed is None else options.seed

    def draw(row: FileRow) -> Token:
        drawn = sampler.sample(
            row.logits, **row.before(options), rng=seed, keys=row.number,
            logprobs=min(options.logprobs, row.logits.size),
        )  # fmt: skip
        best = zip(drawn.top_ids.tolist(), drawn.top_logprobs.tolist(), strict=True)
        top = [Choice(token, logprob) for token, logprob in best if token >= 0]
        logprob, raw_logprob = float(drawn.logprobs), float(drawn.raw_logprobs)
        return Token(row.file, row.number, int(drawn.ids), logprob, raw_logprob, int(drawn.ranks), top)

    rows = [row.ask(draw) for row in rows_of(options)]
    return Samples(repr(sampler), seed, rows)


def run(options: argparse.Namespace) -> None:
    """Print what was drawn."""
    if options.json:
        report.print_json(collect(options))
        return
    from fastlogits.cli import screen

    samples = collect(options)
    view = screen.Screen()
    view.print(f"{samples.sampler}  seed {samples.seed}", style="dim")
    for file in dict.fromkeys(options.files):
        heads = ["row", "token", "probability", "log-prob", "raw log-prob", "rank"]
        table = view.table(heads, left=0)
        if options.logprobs:
            table.add_column("likeliest, id:log-prob", overflow="fold", ratio=1)
        for token in samples.rows:
            if token.file == file:
                scores = screen.percent(math.exp(token.logprob)), f"{token.logprob:.4f}", f"{token.raw_logprob:.4f}"
                best = " ".join(f"{choice.id}:{choice.logprob:.3f}" for choice in token.top)
                table.add_row(str(token.row), str(token.id), *scores, str(token.rank), *[best] * bool(options.logprobs))
        if len(options.files) > 1:
            view.raw(f"\n{file}")
        view.print(table)
