"""What an adapter says where its client is not installed, and where it is installed and fails to import."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

#: What imports the client, what is not there then, and the package that is broken.
ADAPTERS = [
    ("import fastlogits.transformers", "fastlogits.transformers needs transformers and torch: pip install", "torch"),
    ("import fastlogits.torch", "fastlogits.torch needs torch: pip install torch", "torch"),
    ("import fastlogits.dask", "fastlogits.dask needs dask: pip install", "dask"),
    (
        "from fastlogits import llama_cpp\nwith llama_cpp.fast_sampling(None): pass",
        "fastlogits.llama_cpp needs llama-cpp-python: pip install llama-cpp-python",
        "llama_cpp",
    ),
    ("from fastlogits.plots import _axes\n_axes.matplotlib()", "pictures need matplotlib: pip install", "matplotlib"),
]
CAUGHT = """
try:
{code}
except ImportError as error:
    print(error)
    print(type(error.__cause__).__name__, error.__cause__)
"""


def said(code: str, package: str, text: str, folder: Path) -> list[str]:
    """What a process prints whose `package` is a module of this text."""
    (folder / f"{package}.py").write_text(text)
    root = str(Path(__file__).resolve().parents[1])
    start = f"import sys\nsys.path[:0] = [{str(folder)!r}, {root!r}]\n"
    call = start + CAUGHT.format(code=textwrap.indent(code, "    "))
    done = subprocess.run([sys.executable, "-c", call], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.parametrize(("code", "missing", "package"), ADAPTERS, ids=[each[2] + each[0][-10:] for each in ADAPTERS])
def test_a_client_that_fails_to_import(code: str, missing: str, package: str, tmp_path: Path) -> None:
    message, cause = said(code, package, "raise ImportError('libcublas.so is missing')", tmp_path)
    assert message.endswith("is installed, but fails to import: libcublas.so is missing")
    assert package in message
    assert cause == "ImportError libcublas.so is missing"
    # One of its own dependencies is not there.
    message, cause = said(code, package, "import nowhere_to_be_found", tmp_path)
    assert message.endswith("is installed, but fails to import: No module named 'nowhere_to_be_found'")
    assert cause == "ModuleNotFoundError No module named 'nowhere_to_be_found'"


@pytest.mark.parametrize(("code", "missing", "package"), ADAPTERS, ids=[each[2] + each[0][-10:] for each in ADAPTERS])
def test_a_client_that_is_not_there(code: str, missing: str, package: str, tmp_path: Path) -> None:
    message, cause = said(
        code, package, f"raise ModuleNotFoundError(\"No module named '{package}'\", name='{package}')", tmp_path
    )
    assert missing in message
    assert cause == f"ModuleNotFoundError No module named '{package}'"
