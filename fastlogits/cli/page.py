"""``--report``: a run as one HTML page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import fastlogits
from fastlogits.cli import UserError
from fastlogits.report import ScoredText, calibration_report, save_report, scoring_report

if TYPE_CHECKING:
    import argparse

    from fastlogits.cli.calibrate import Calibration
    from fastlogits.cli.inputs import Scored
    from fastlogits.cli.score import Score

#: How many rows are read once more to be shown token by token.
SHOWN = 20_000


def pieces_of(options: argparse.Namespace) -> Any:
    """The text of each token id: a JSON list, or an object of ids; None where there is none."""
    if options.pieces is None:
        return None
    try:
        found = json.loads(Path(options.pieces).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{options.pieces}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"{options.pieces}: not JSON in UTF-8") from None
    texts = dict(enumerate(found)) if isinstance(found, list) else found
    if not isinstance(texts, dict) or not all(isinstance(piece, str) for piece in texts.values()):
        raise UserError(f"{options.pieces}: must be a list of strings, one per token id, or an object of them")
    return {int(token): piece for token, piece in texts.items() if str(token).isdigit()}


def write(options: argparse.Namespace, scored: Scored, found: Score, pieces: Any) -> None:
    """The page of a run that is done: its figures, and its first `SHOWN` rows token by token."""
    x, ids = scored.rows[:SHOWN], scored.ids[:SHOWN]
    scores, status = fastlogits.token_logprobs(
        x,
        ids,
        ignore_index=-1,
        temperature=options.temperature,
        rank=True,
        argmax=True,
        entropy=True,
        on_error="status",
    )
    counts = (ids >= 0) & (status == 0)
    if not counts.any():
        raise UserError(f"--report {options.report}: none of the first {SHOWN:,} rows counts")
    names = {} if pieces is None else pieces
    words = [names.get(int(token), f" {token}") if token >= 0 else "" for token in ids]
    best = [names.get(int(token), str(token)) for token in scores.argmax]
    logprobs = np.where(counts, scores.logprobs, np.nan)
    text = ScoredText(
        words, logprobs, entropy=scores.entropy, ranks=scores.ranks, greedy=scores.greedy, best=best, name="Tokens"
    )
    shown = np.where(counts, ids, -1)
    curve = fastlogits.reliability_curve(x, shown, from_logits=True, temperature=options.temperature, ignore_index=-1)
    whole = {"perplexity of all rows": found.perplexity, "accuracy of all rows": found.accuracy, "rows": found.rows}
    title = f"{found.logits} against {found.targets}"
    save_report(scoring_report(text, curves=curve, figures=whole, title=title, most_tokens=SHOWN), options.report)


def write_calibration(options: argparse.Namespace, found: Calibration) -> None:
    """The page of a calibration: figures and reliability before and after the fitted temperature."""
    sides = {"before": found.before, "after": found.after}
    names = ("temperature", "negative_log_likelihood", "calibration_error", "brier_score", "mean_confidence")
    figures: dict[str, Any] = {name: [getattr(side, name) for side in sides.values()] for name in names}
    errors = figures.pop("calibration_error")  # with l1, what the page says of its bins
    figures |= {} if found.norm == "l1" else {f"calibration error ({found.norm})": errors}
    figures |= {"accuracy": [found.accuracy] * 2, "ignored rows": found.ignored, "bad rows": found.skipped}
    page = calibration_report(
        {name: side.curve for name, side in sides.items()},
        figures={name.replace("_", " "): value for name, value in figures.items()},
        title=f"{found.logits} against {found.targets}",
    )
    save_report(page, options.report)
