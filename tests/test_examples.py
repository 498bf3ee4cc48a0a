"""Every example in a docstring runs and prints what it says."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import fastlogits

MODULES = ["fastlogits", *(m.name for m in pkgutil.walk_packages(fastlogits.__path__, "fastlogits."))]

#: Adapters that import only where their client is installed.
CLIENTS = {"fastlogits.torch": "torch", "fastlogits.transformers": "transformers"}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples(name: str) -> None:
    if name.endswith(".dask"):
        pytest.importorskip("dask.array", reason="dask is not installed: pip install 'fastlogits[dask]'")
    if name.startswith("fastlogits.plots."):
        pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install 'fastlogits[plot]'")
    client = CLIENTS.get(name)
    if client is not None:
        pytest.importorskip(client, reason=f"{client} is not installed")
    assert doctest.testmod(importlib.import_module(name), verbose=False).failed == 0


def test_examples_of_sample() -> None:
    """The method that lives in C, which doctest does not find by itself."""
    parsed = doctest.DocTestParser().get_doctest(fastlogits.Sampler.sample.__doc__ or "", {}, "sample", None, 0)
    assert parsed.examples
    assert doctest.DocTestRunner(verbose=False).run(parsed).failed == 0
