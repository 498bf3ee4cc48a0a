"""What `import fastlogits` loads, and that every name is there when it is asked for."""

from __future__ import annotations

import ast
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import fastlogits

FOLDER = Path(fastlogits.__file__).parent


def output(code: str) -> str:
    """What a fresh process prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(code: str) -> set[str]:
    """The modules that a fresh process holds after the code."""
    return set(output(f"import sys\n{code}\nprint(*sys.modules)").split())


def test_the_import_loads_little() -> None:
    """What NumPy does not load either, but for the extension module and what explains why it is missing."""
    more = loaded("import fastlogits") - loaded("import numpy")
    assert {name for name in more if name.startswith("fastlogits")} == {
        "fastlogits", "fastlogits._common", "fastlogits._common.startup", "fastlogits._core",
    }  # fmt: skip
    others = {name for name in more if not name.startswith(("fastlogits", "__editable__"))}
    assert not {name.partition(".")[0] for name in others} & {
        "dataclasses", "inspect", "secrets", "email", "json", "asyncio", "http", "concurrent", "logging", "argparse",
    }  # fmt: skip
    assert "importlib.metadata" not in others
    assert len(others) < 15, sorted(others)


def test_a_name_loads_what_it_needs() -> None:
    arrays = loaded("import fastlogits\nfastlogits.softmax")
    assert "fastlogits.arrays" in arrays
    assert not {name for name in arrays if name.startswith(("fastlogits.sampling", "fastlogits.scoring"))}
    sampler = loaded("import fastlogits\nfastlogits.sample([1.0, 2.0], rng=7)")
    assert "fastlogits.sampling.functions" in sampler
    for part in ("scoring", "calibration", "reference", "plots", "report", "cli", "dask"):
        assert f"fastlogits.{part}" not in sampler, part


def test_every_name_is_there_in_a_fresh_process() -> None:
    names = sorted([*fastlogits.__all__, "arrays", "calibration", "sampling", "scoring"])
    code = f"import fastlogits as fl\nfor name in {names}:\n    getattr(fl, name)\n    assert name in dir(fl), name"
    assert "fastlogits.scoring.texts" in loaded(code)
    star = output("from fastlogits import *\nprint(*sorted(n for n in dir() if n[:2] != '__'))").split()
    assert star == sorted(set(fastlogits.__all__) - {"__version__"})


@pytest.mark.parametrize("name", [name for name in fastlogits.__all__ if name != "__version__"])
def test_each_name_alone(name: str) -> None:
    """Whatever is asked for first, by attribute and by import, it is the same object."""
    value = getattr(fastlogits, name)
    space: dict[str, object] = {}
    exec(f"from fastlogits import {name}", space)
    assert space[name] is value is vars(fastlogits)[name]
    if inspect.isclass(value):
        assert pickle.loads(pickle.dumps(value)) is value


def test_types_and_names_say_the_same() -> None:
    """What a type checker reads is what the module gives, each from the same file."""
    tree = ast.parse((FOLDER / "__init__.py").read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    said = {
        (alias.name, (node.module or "").removeprefix("fastlogits").removeprefix("."))
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    given = set(fastlogits._HOME_OF.items()) | {(name, "") for name in fastlogits._MODULES}
    assert said == given
    assert {name for name, home in said if home} | {"cpu", "reference", "steps", "__version__"} == set(
        fastlogits.__all__
    )


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match=r"^module 'fastlogits' has no attribute 'smaple'$"):
        fastlogits.smaple  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'smaple' from 'fastlogits'"):
        exec("from fastlogits import smaple")


def test_threads_that_ask_at_once() -> None:
    output(
        "import threading, fastlogits as fl\n"
        "found = []\n"
        "start = threading.Barrier(8)\n"
        "def ask(name):\n"
        "    start.wait()\n"
        "    found.append(getattr(fl, name))\n"
        "names = ['Sampler', 'sample', 'score_text', 'LabelClassifier'] * 2\n"
        "threads = [threading.Thread(target=ask, args=(name,)) for name in names]\n"
        "[each.start() for each in threads]\n"
        "[each.join() for each in threads]\n"
        "assert len(found) == 8\n"
        "assert fl.sample([0.0, 9.0], temperature=0) == 1\n"
    )
