"""``fastlogits info``: what is installed and what this machine offers. Needs NumPy alone."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

import numpy as np

import fastlogits
from fastlogits import cpu
from fastlogits._common.inputs import cores
from fastlogits.bench import bundled
from fastlogits.cli import report

if TYPE_CHECKING:
    import argparse


def collect() -> dict[str, Any]:
    """The report."""
    return {
        "version": fastlogits.__version__,
        "isa": {"in_use": cpu.isa(), "available": cpu.available_isas(), "known": cpu.known_isas()},
        "cpu": {"name": cpu.name(), "machine": platform.machine(), "cores": cores()},
        "threads": cpu.default_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "sample_rows": str(bundled.PATH),
    }


def run(options: argparse.Namespace) -> None:
    """Print the report."""
    found = collect()
    if options.json:
        report.print_json(found)
        return
    isa, processor = found["isa"], found["cpu"]
    lines = {
        "fastlogits": found["version"],
        "ISA in use": isa["in_use"],
        "available": ", ".join(isa["available"]),
        "CPU": f"{processor['name']} ({processor['machine']}, {processor['cores']} usable cores)",
        "threads": f"{found['threads']} by default",
        "Python": found["python"],
        "NumPy": found["numpy"],
        "sample rows": found["sample_rows"],
    }
    for name, value in lines.items():
        print(f"{name:<12} {value}")
