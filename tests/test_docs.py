"""Every example of the guides runs, and no page is left out of the table of contents."""

from __future__ import annotations

import importlib
import re
import tomllib
from typing import Any

import pytest
import rows

import fastlogits

DOCS = rows.ROOT / "docs"
PAGES = sorted(
    p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md") if not p.relative_to(DOCS).as_posix().startswith("_")
)


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_examples(page: str) -> None:
    """The blocks of a page, one after the other, as a reader would type them."""
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks(page)):
        exec(compile(block, f"{page}, block {number}", "exec"), names)


def test_pages_are_listed() -> None:
    index = (DOCS / "index.md").read_text()
    for page in PAGES:
        assert page == "index.md" or re.search(rf"^{page.removesuffix('.md')}$", index, re.MULTILINE), page
    assert any(blocks(page) for page in PAGES)


@pytest.mark.parametrize("page", [*PAGES, "../README.md"])
def test_names_in_running_text_exist(page: str) -> None:
    """What stands in backticks as `fl.name` or `fastlogits.name` can be looked up."""
    adapters = ("torch", "transformers", "llama_cpp", "dask")  # need a client that may be missing
    for dotted in re.findall(r"`(?:fl|fastlogits)\.([A-Za-z_][\w.]*)", (DOCS / page).read_text()):
        if dotted.split(".")[0] in adapters or dotted.endswith((".py", ".md")):
            continue
        found: Any = fastlogits
        for part in dotted.rstrip(".").split("."):
            if not hasattr(found, part):
                found = importlib.import_module(f"{found.__name__}.{part}")
            else:
                found = getattr(found, part)


def test_no_index_is_named_that_does_not_have_us() -> None:
    """The package is installed from a checkout: no `pip install fastlogits`, with or without extras."""
    texts = [
        path
        for pattern in ("*.md", "docs/**/*.md", "fastlogits/**/*.py", "examples/*")
        for path in rows.ROOT.glob(pattern)
    ]
    assert len(texts) > 50
    for path in texts:
        assert not re.search(r"pip install [^\n`&]*\bfastlogits\b", path.read_text()), path


def test_extras_of_the_adapters_are_named() -> None:
    """By the installation of the README and by the page of the client."""
    with open(rows.ROOT / "pyproject.toml", "rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    readme = (rows.ROOT / "README.md").read_text()
    for name, package in (
        ("torch", "torch"), ("transformers", "transformers"), ("llama_cpp", "llama-cpp-python"),
        ("onnxruntime", "onnxruntime"),
    ):  # fmt: skip
        assert extras[name][0].startswith(f"{package}>=")
        assert f'".[{name}]"' in readme
        assert f'pip install ".[{name}]"' in (DOCS / "migrate" / f"{name}.md").read_text()
