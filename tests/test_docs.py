"""Every example of the guides runs, and no page is left out of the table of contents."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
import rows

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
