"""Sphinx: ``sphinx-build -W docs docs/_build``."""

import re
from pathlib import Path
from typing import Any

import fastlogits
import fastlogits.steps

project = "fastlogits"
author = "The fastlogits developers"
version = release = fastlogits.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_parser"]
html_theme = "pydata_sphinx_theme"
html_title = "fastlogits"
html_extra_path = ["scoring_report.html"]
exclude_patterns = ["_build"]
autosummary_generate = True
autodoc_typehints = "none"
autodoc_mock_imports = ["torch", "transformers", "llama_cpp"]
numpydoc_show_class_members = False
myst_heading_anchors = 3


def listing(title: str, module: str, names: list[str]) -> str:
    """A table of names, each with a page of its own."""
    return "\n".join(
        [title, "-" * len(title), "", f".. currentmodule:: {module}", "", ".. autosummary::", "   :toctree: _generated",
         "   :nosignatures:", "", *(f"   {name}" for name in names), "", ""]
    )  # fmt: skip


def module(name: str) -> str:
    """A module with all that it exports."""
    title = f"fastlogits.{name}"
    return f"{title}\n{'-' * len(title)}\n\n.. automodule:: {title}\n   :members:\n   :exclude-members: ScoredText\n\n"


PUBLIC = [name for name in fastlogits.__all__ if callable(getattr(fastlogits, name))]
ADAPTERS = ("scipy", "torch", "transformers", "llama_cpp", "plots", "report")
# The tables follow from what the package exports.
(Path(__file__).parent / "api.rst").write_text(
    "API reference\n=============\n\n"
    + listing("Functions and classes", "fastlogits", PUBLIC)
    + listing("Steps", "fastlogits.steps", fastlogits.steps.__all__)
    + "".join(module(name) for name in ("reference", "cpu", *ADAPTERS))
)


def setup(app: Any) -> None:
    """Bars in docstrings are absolute values, not substitutions of reStructuredText."""

    def escape(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
        lines[:] = [re.sub(r"(``.*?``)|\|", lambda found: found[1] or r"\|", line) for line in lines]

    app.connect("autodoc-process-docstring", escape, priority=100)
