"""Instructions per call stay within 2 % of the tracked ones (tests/instructions.json)."""

from __future__ import annotations

import json

import instructions
import pytest


@pytest.mark.slow
def test_no_call_grew() -> None:
    if reason := instructions.reason_to_skip():
        pytest.skip(reason)
    tracked = json.loads(instructions.PLACE.read_text())["instructions"]
    found = instructions.count()
    assert found.keys() == tracked.keys()
    grown = {name: (tracked[name], number) for name, number in found.items() if number > 1.02 * tracked[name]}
    assert not grown, "python tests/instructions.py --write tracks new counts"


def test_a_profile_is_read(tmp_path: object) -> None:
    """Self cost alone, of the extension alone."""
    from pathlib import Path

    profile = Path(str(tmp_path), "out")
    profile.write_text(
        "events: Ir\nob=(1) /fastlogits/numpy/_core/umath.so\nfn=(1) memcpy\n10 700\n\n"
        "ob=(2) /x/fastlogits/_core.so\nfn=(2) a\n20 5\n"
        "+3 6\ncob=(1)\ncfn=(1)\ncalls=1 10\n* 700\n\nob=(1)\nfn=(1)\n11 900\n\nob=(2)\nfn=(3) b\n1 100\n"
    )
    assert instructions.instructions_of(profile) == 111
