"""``fastlogits explain``: which pass ran on a row, and what each step left. Needs NumPy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastlogits.cli import printable, report
from fastlogits.cli.steering import FileRow, rows_of, sampler_of

if TYPE_CHECKING:
    import argparse

    from fastlogits import Explanation


def run(options: argparse.Namespace) -> None:
    """Print the explanation of each chosen row."""
    sampler = sampler_of(options)

    def explained(row: FileRow) -> Explanation:
        return sampler.explain(row.logits, **row.before(options))

    told = [(row, row.ask(explained)) for row in rows_of(options)]
    if options.json:
        rows = [{"file": row.file, "row": row.number, **report.plain(explanation)} for row, explanation in told]
        report.print_json({"sampler": repr(sampler), "rows": rows})
        return
    for index, (row, explanation) in enumerate(told):
        print("\n" * (index > 0) + printable(f"{row.file}, row {row.number}"))
        print(explanation)
