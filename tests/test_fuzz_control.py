"""Negative control of the fuzz suite: rules broken on purpose are seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import made
import numpy as np
import plans
import pytest
from test_fuzz import FEW, SHORT, Checked, random_case

from fastlogits import steps


def without_edits(plan: tuple[Any, ...]) -> tuple[Any, ...]:
    edits = [name for name, kind, _ in made.DEFINED if kind == "EDIT" and name in made.ANYWHERE]
    return tuple(step for step in plan if step.name not in edits)


def wider_nuclei(plan: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(replace(s, p=s.p * 1.01) if isinstance(s, steps.TopP) and 0 < s.p < 0.98 else s for s in plan)


def one_tie_rule(plan: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(replace(s, ties="keep") if isinstance(s, steps.TopK) else s for s in plan)


@pytest.mark.parametrize("broken", [without_edits, wider_nuclei, one_tie_rule, plans.cuts_first])
def test_broken_rules_are_seen(broken: Callable[[tuple[Any, ...]], tuple[Any, ...]]) -> None:
    """Wherever a broken rule changes the reference's survivors, running the library by it is a fault."""
    changed = 0
    for seed in range(FEW):
        case = random_case(seed, SHORT[:13])
        wrong = broken(case.plan)
        if wrong == case.plan:
            continue
        right, other = plans.run(case), plans.run(replace(case, plan=wrong))
        if right is None or other is None or np.array_equal(right > -np.inf, other > -np.inf):
            continue
        changed += 1
        assert Checked(case, wrong).faults, case
    print(f"negative control: {changed} plans change by {broken.__name__}")
    assert changed >= 3
