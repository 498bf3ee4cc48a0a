"""``--report``: a run as one HTML page."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

import fastlogits
from fastlogits.cli import UserError, printable
from fastlogits.cli.load import contents
from fastlogits.report import ScoredText, calibration_report, save_report, scoring_page

if TYPE_CHECKING:
    import argparse

    from fastlogits.cli.calibrate import Calibration
    from fastlogits.cli.inputs import Scored
    from fastlogits.scoring.texts import TextScore

#: How many rows are read once more to be shown token by token.
SHOWN = 20_000


def pieces_of(options: argparse.Namespace) -> Any:
    """The text of each token id: a JSON list, or an object of ids; None where there is none."""
    if options.pieces is None:
        return None
    try:
        found = json.loads(contents(options.pieces).decode())
    except RecursionError:
        raise UserError(f"{options.pieces}: nested too deep for a list of strings") from None
    except ValueError:
        raise UserError(f"{options.pieces}: not JSON in UTF-8") from None
    texts = dict(enumerate(found)) if isinstance(found, list) else found
    if not isinstance(texts, dict) or not all(isinstance(piece, str) for piece in texts.values()):
        raise UserError(f"{options.pieces}: must be a list of strings, one per token id, or an object of them")
    return {int(token): piece for token, piece in texts.items() if re.fullmatch("[0-9]{1,18}", str(token))}


def write(options: argparse.Namespace, scored: Scored, whole: TextScore, pieces: Any) -> None:
    """The page of a run that is done: the numbers of all rows, and the first `SHOWN` rows token by token."""
    scored.logits.check_length()
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
    rows = len(scored.ids)
    part = "" if rows <= SHOWN else f"first {SHOWN:,} of {rows:,} rows"
    text = ScoredText(
        words, logprobs, entropy=scores.entropy, ranks=scores.ranks, greedy=scores.greedy, best=best,
        name=part.capitalize() or "Tokens",
    )  # fmt: skip
    shown = np.where(counts, ids, -1)
    curve = fastlogits.reliability_curve(x, shown, from_logits=True, temperature=options.temperature, ignore_index=-1)
    title = printable(f"{scored.logits.shown} against {scored.targets.shown}")
    save(scoring_page([text], [whole], {part: curve}, {"rows": rows}, title), options)


def save(page: str, options: argparse.Namespace) -> None:
    """Writes the page to ``--report``; what goes wrong is an error that names the file."""
    try:
        save_report(page, options.report)
    except OSError as error:
        raise UserError(f"{options.report}: {error.strerror}") from None


def write_calibration(options: argparse.Namespace, found: Calibration) -> None:
    """The page of a calibration: figures and reliability before and after the fitted temperature."""
    sides = {"before": found.before, "after": found.after}
    names = ("temperature", "negative_log_likelihood", "calibration_error", "brier_score", "mean_confidence")
    figures: dict[str, Any] = {name: [getattr(side, name) for side in sides.values()] for name in names}
    errors = figures.pop("calibration_error")  # with l1, what the page says of its bins
    figures |= {} if found.norm == "l1" else {f"calibration error ({found.norm})": errors}
    figures |= {"accuracy": [found.accuracy] * 2, "ignored rows": found.ignored, "bad rows": found.skipped}
    text = calibration_report(
        {name: side.curve for name, side in sides.items()},
        figures={name.replace("_", " "): value for name, value in figures.items()},
        title=printable(f"{found.logits} against {found.targets}"),
    )
    save(text, options)
