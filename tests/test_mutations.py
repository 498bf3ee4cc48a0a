"""The list of mutations: each changes one place of a file that is there, and is looked for in tests that are there."""

from __future__ import annotations

import pytest
import rows
from mutation_list import MUTATIONS, Mutation


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_has_its_place(mutation: Mutation) -> None:
    assert (rows.ROOT / mutation.file).read_text().count(mutation.old) == 1
    assert mutation.new != mutation.old
    for name in mutation.tests:
        assert (rows.ROOT / "tests" / f"test_{name}.py").is_file(), name
