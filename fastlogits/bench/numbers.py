"""Numbers as tables and pictures show them."""

from __future__ import annotations


def figures(value: float) -> str:
    """A positive number with three figures, from 100 on as a whole one."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"
