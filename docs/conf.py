"""Sphinx: ``sphinx-build -W docs docs/_build``."""

from pathlib import Path

import fastlogits
import fastlogits.steps

project = "fastlogits"
author = "The fastlogits developers"
version = release = fastlogits.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc", "myst_parser"]
html_theme = "pydata_sphinx_theme"
html_title = "fastlogits"
html_extra_path = ["scoring_report.html"]
exclude_patterns = ["_build", "_generated"]
autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
myst_heading_anchors = 3


def listing(title: str, module: str, names: list[str]) -> str:
    """A table of names, each with a page of its own."""
    return "\n".join(
        [title, "-" * len(title), "", f".. currentmodule:: {module}", "", ".. autosummary::", "   :toctree: _generated",
         "   :nosignatures:", "", *(f"   {name}" for name in names), "", ""]
    )  # fmt: skip


PUBLIC = [name for name in fastlogits.__all__ if callable(getattr(fastlogits, name))]
ADAPTERS = ("scipy", "torch", "llama_cpp", "plots", "report")
# The tables follow from what the package exports.
(Path(__file__).parent / "api.rst").write_text(
    "API reference\n=============\n\n"
    + listing("Functions and classes", "fastlogits", PUBLIC)
    + listing("Steps", "fastlogits.steps", fastlogits.steps.__all__)
    + "Modules\n-------\n\n.. autosummary::\n   :toctree: _generated\n   :nosignatures:\n\n"
    + "".join(f"   fastlogits.{name}\n" for name in ("reference", "cpu", *ADAPTERS))
)
