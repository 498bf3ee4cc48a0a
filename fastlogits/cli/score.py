"""``fastlogits score``: the tokens of a text against a model's logits, chunk by chunk, resumable."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import fastlogits
from fastlogits._common.exact import ExactSum
from fastlogits.cli import UserError, inputs, load, page, report
from fastlogits.cli.state import Ledger, count, packed, unpacked
from fastlogits.cli.tables import lines, status_words, texts
from fastlogits.scoring.texts import TextScore

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

COLUMNS = ("logprob", "rank", "greedy", "argmax", "entropy", "varentropy", "margin")


@dataclass(frozen=True)
class Totals:
    """Exact totals of the rows so far; merged by ``+``."""

    score: TextScore = dataclasses.field(default_factory=lambda: TextScore(hits=0))
    entropy: ExactSum = dataclasses.field(default_factory=ExactSum)
    varentropy: ExactSum = dataclasses.field(default_factory=ExactSum)
    ranks: int = 0
    within: int = 0
    skipped: int = 0

    def __add__(self, other: Totals) -> Totals:
        """The totals of both."""
        return Totals(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclasses.fields(self)))

    def plain(self) -> dict[str, Any]:
        """In JSON's types."""
        sums = {name: packed(total) for name, total in self._sums().items()}
        counts = {"tokens": self.score.tokens, "hits": self.score.hits}
        return sums | counts | {"ranks": self.ranks, "within": self.within, "skipped": self.skipped}

    def _sums(self) -> dict[str, ExactSum]:
        return {"logprob": self.score.total, "entropy": self.entropy, "varentropy": self.varentropy}

    @classmethod
    def of(cls, value: dict[str, Any] | None, rows: int) -> Totals:
        """What `plain` gave of `rows` rows that are not ignored; nothing yet if there is none."""
        if value is None:
            return cls()
        skipped = count(value["skipped"], rows)
        tokens = count(value["tokens"])
        if tokens + skipped != rows:
            raise ValueError("the totals are not those of the rows")
        score = TextScore(unpacked(value["logprob"]), tokens, count(value["hits"], tokens))
        sums = unpacked(value["entropy"]), unpacked(value["varentropy"])
        return cls(score, *sums, count(value["ranks"]), count(value["within"], tokens), skipped)


@dataclass(frozen=True)
class Score:
    """The report; natural logarithms, entropy in nats; what was not asked for or cannot be told is None."""

    logits: str
    targets: str
    vocab: int
    temperature: float
    rows: int
    tokens: int
    ignored: int
    skipped: int
    loglikelihood: float
    negative_log_likelihood: float
    perplexity: float
    bits_per_token: float
    accuracy: float
    is_greedy: bool
    mean_rank: float
    top_n: int | None
    top_n_accuracy: float | None
    mean_entropy: float
    mean_varentropy: float
    words: int | None
    bytes: int | None
    word_perplexity: float | None
    byte_perplexity: float | None
    bits_per_byte: float | None


class Scoring:
    """The work on one chunk after the other."""

    def __init__(self, options: argparse.Namespace, scored: inputs.Scored) -> None:
        self.options, self.scored = options, scored
        self.top_n = min(options.top_n, scored.rows.shape[1])
        self.totals = Totals()

    def part(self, begin: int, end: int) -> tuple[dict[str, Any], bytes]:
        """All totals with rows `begin` to `end`, and their lines of the CSV."""
        self.scored.logits.check_length()
        x, ids = self.scored.rows[begin:end], self.scored.ids[begin:end]
        found, status = self.ask(x, ids, "status")
        bad = np.flatnonzero(status)
        if bad.size and self.options.nan == "raise":
            inputs.refuse(self.scored.logits, begin + int(bad[0]), int(status[bad[0]]))
        counts = (ids >= 0) & (status == 0)
        ranks = found.ranks[counts]
        self.totals += Totals(
            fastlogits.score_text(found.logprobs, greedy=found.greedy, mask=counts),
            ExactSum.of(found.entropy[counts]),
            ExactSum.of(found.varentropy[counts]),
            int(ranks.sum()),
            int(np.count_nonzero(ranks <= self.top_n)),
            bad.size,
        )
        return self.totals.plain(), rows_told(begin, ids, status, found) if self.options.csv else b""

    def restored(self, totals: dict[str, Any] | None, done: int) -> Totals:
        """The totals of a state in which the first `done` rows are done."""
        done = count(done, len(self.scored.ids))
        return Totals.of(totals, int(np.count_nonzero(self.scored.ids[:done] >= 0)))

    def check(self) -> None:
        """Refuses options out of range before anything is written."""
        try:
            self.ask(self.scored.rows[:0], self.scored.ids[:0], "raise")
        except (ValueError, TypeError) as error:
            raise UserError(error) from None

    def ask(self, x: NDArray[Any], ids: NDArray[np.int64], on_error: str) -> Any:
        """The library's answer about some rows."""
        return fastlogits.token_logprobs(
            x, ids, ignore_index=-1, temperature=self.options.temperature, top_n=self.top_n, rank=True, argmax=True,
            entropy=True, varentropy=True, margin=True, on_error=on_error,
        )  # fmt: skip


def header(top_n: int) -> str:
    """The first line of the CSV."""
    tops = [f"top_{k}_{what}" for k in range(1, top_n + 1) for what in ("id", "logprob")]
    return ",".join(["row", "target", "status", *COLUMNS, *tops]) + "\r\n"


def rows_told(first: int, ids: NDArray[np.int64], status: NDArray[np.int32], found: Any) -> bytes:
    """A line of the CSV per row; an ignored or bad row has no figures, an ignored one no target."""
    words = ["ignored" if token < 0 else word for token, word in zip(ids, status_words(status), strict=True)]
    targets = [str(token) if token >= 0 else "" for token in ids.tolist()]
    figures = [found.logprobs, found.ranks, found.greedy, found.argmax, found.entropy, found.varentropy, found.margin]
    for k in range(0 if found.top_ids is None else found.top_ids.shape[1]):
        figures += [found.top_ids[:, k], found.top_logprobs[:, k]]
    return lines(first, words, [targets, *map(texts, figures)], known=1)


def length_of(options: argparse.Namespace) -> tuple[int | None, int | None]:
    """Words and bytes of the text."""
    if options.text is not None:
        if options.words is not None or options.bytes is not None:
            raise UserError("--text holds the words and bytes already: leave --words and --bytes out")
        text = load.contents(options.text)
        if not text.strip():
            raise UserError(f"{options.text}: holds no word")
        try:
            return len(re.split(r"\s+", text.decode())), len(text)
        except UnicodeDecodeError:
            raise UserError(f"{options.text}: not a text in UTF-8") from None
    for name in ("words", "bytes"):
        count = getattr(options, name)
        if count is not None and count < 1:
            raise UserError(f"--{name} must be >= 1, got {count}")
    return options.words, options.bytes


def collect(options: argparse.Namespace) -> Score:
    """Score all rows, from where the state file says if there is one."""
    if options.top_n < 0:
        raise UserError(f"--top-n must be >= 0, got {options.top_n}")
    words, size = length_of(options)
    scored = inputs.read_scored(options)
    inputs.check_outputs(options, scored.logits, scored.targets)
    pieces = page.pieces_of(options)
    steps = inputs.chunk_rows(options, scored.rows)
    work = Scoring(options, scored)
    work.check()
    csv = inputs.absolute(options.csv)
    chosen = {"ignore_index": options.ignore_index, "temperature": options.temperature, "top_n": work.top_n, "csv": csv}
    identity = {"command": "score", **scored.identity(), "options": chosen}
    with Ledger(options.resume, identity, csv, header(work.top_n).encode()) as ledger:
        work.totals = ledger.restore(work.restored)
        inputs.check_skipped(options, work.totals.skipped)
        ledger.run("scoring", len(scored.rows), steps, work.part)
    totals = work.totals.score
    whole = TextScore(totals.total, totals.tokens, totals.hits, words, size)
    found = told(options, scored, work, whole)
    if options.report is not None:
        page.write(options, scored, whole, pieces)
    return found


def told(options: argparse.Namespace, scored: inputs.Scored, work: Scoring, whole: TextScore) -> Score:
    """The numbers of the totals, `whole` among them."""
    totals, tokens = work.totals, whole.tokens
    if not tokens:
        raise UserError(f"{scored.logits.shown}: no row is left: {totals.skipped} are bad, {scored.ignored} ignored")
    top, words, size = work.top_n or None, whole.words, whole.bytes
    return Score(
        scored.logits.shown, scored.targets.shown, scored.rows.shape[1], options.temperature, len(scored.rows), tokens,
        scored.ignored, totals.skipped, whole.loglikelihood, 0.0 - whole.total.over(tokens), whole.perplexity,
        whole.bits_per_token, whole.accuracy, whole.is_greedy, totals.ranks / tokens, top,
        totals.within / tokens if top else None, totals.entropy.over(tokens), totals.varentropy.over(tokens), words,
        size, whole.word_perplexity if words else None, whole.byte_perplexity if size else None,
        whole.bits_per_byte if size else None,
    )  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Print or write the figures."""
    if options.json:
        report.put_json(collect(options), options.json)
        return
    from fastlogits.cli import screen

    view = screen.Screen()  # before the work: an error about rich must not come behind it
    found = collect(options)
    left_out = f", {found.ignored:,} ignored, {found.skipped:,} bad" if found.ignored or found.skipped else ""
    heading = f"{found.logits} against {found.targets}, T {found.temperature:g}"
    view.print(f"{heading}: {found.tokens:,} tokens{left_out}, {found.vocab:,} logits each.")
    view.print()
    table = view.table(["figure", "value"])
    for name, value in dataclasses.asdict(found).items():
        if isinstance(value, float) and name != "temperature":
            table.add_row(name.replace("_n_", f"-{found.top_n} ").replace("_", " "), f"{value:,.6g}")
    view.print(table)
