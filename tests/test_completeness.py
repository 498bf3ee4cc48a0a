"""Nothing is half there: every public name has an example, a twin in the reference and a benchmark; every step too."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import operator
import re
from typing import Any

import made
import pytest
import rows

import fastlogits
from fastlogits import reference, steps
from fastlogits.reference import sampling as _reference_pipeline
from fastlogits.sampling import keywords as _steering

LIST = rows.ROOT / "csrc" / "steps" / "steps.def"
STEPS = re.findall(r"^FL_STEP\(\d+, (\w+), (\w+), \w+, \w+\)", LIST.read_text(), re.MULTILINE)
FUNCTIONS = [name for name in fastlogits.__all__ if inspect.isroutine(getattr(fastlogits, name))]
CLASSES = [name for name in fastlogits.__all__ if inspect.isclass(getattr(fastlogits, name))]
# What reports on the machine computes nothing, so it has neither twin nor benchmark.
MACHINE = {"cpu_info", "info", "isa", "isas", "set_threads"}
COMPUTING = [name for name in FUNCTIONS if name not in MACHINE]


def class_of(step: str) -> Any:
    return next(each for each in map(steps.__dict__.get, steps.__all__) if getattr(each, "name", None) == step)


def test_names_are_found() -> None:
    arrays = {"softmax", "log_softmax", "logsumexp", "argmax", "top_k"}
    assert arrays | {"sample", "probs", "filter_logits", "candidates"} <= set(COMPUTING)
    assert {"Sampler"} <= set(CLASSES)
    assert len(STEPS) >= 11
    for name in fastlogits.__all__:
        assert hasattr(fastlogits, name)


METHODS = [f"Sampler.{name}" for name in ("probs", "filter_logits", "candidates", "from_openai", "from_hf")]


@pytest.mark.parametrize("name", [*FUNCTIONS, *CLASSES, *METHODS])
def test_docstring(name: str) -> None:
    public = operator.attrgetter(name)(fastlogits)
    text = inspect.getdoc(public) or ""
    assert len(text.splitlines()[0]) > 10, name
    assert not re.search(r"(?m)^ *\{[\w ]+\}$", text), f"{name}: a shared part of the docstring is not there"
    if name in COMPUTING or name == "Sampler":
        assert ">>>" in text, f"{name} has no example"
        assert "Parameters\n---" in text, f"{name} does not describe its parameters"


@pytest.mark.parametrize("name", COMPUTING)
def test_twin(name: str) -> None:
    """The twin has the same name and no parameter that the function lacks."""
    twin = inspect.signature(getattr(reference, name)).parameters
    ours = inspect.signature(getattr(fastlogits, name)).parameters
    free = {"plan", "inputs"}
    assert set(twin) - free <= set(ours), name
    assert next(iter(twin)) == next(iter(ours)), name


@pytest.mark.parametrize("name", COMPUTING)
def test_benchmark(name: str) -> None:
    texts = "".join(path.read_text() for path in (rows.ROOT / "benchmarks").glob("*.py"))
    assert re.search(rf"\b{name}\b", texts), f"benchmarks/ never mentions {name}"


@pytest.mark.parametrize(("name", "kind"), STEPS)
def test_step(name: str, kind: str) -> None:
    """A line of steps.def comes with a dataclass, a twin with its fields, a docstring with an example, a benchmark."""
    step = class_of(name)
    assert step.name == name
    assert dataclasses.is_dataclass(step)
    twin = getattr(reference.steps, name)
    fields = {field.name for field in dataclasses.fields(step)}
    if name not in ("draw", "greedy"):
        assert fields == set(inspect.signature(twin).parameters) - {"row"}
    if name not in ("draw", "greedy", "gumbel", "dynamic_temperature"):
        line = next(line for line in _steering._LINES if line.made is step)
        assert set(line.keywords) <= set(inspect.signature(fastlogits.sample).parameters), name
        assert tuple(_reference_pipeline._ORDER[name].values()) == line.keywords
    assert ">>>" in (inspect.getdoc(step) or "")
    assert len(inspect.getdoc(twin) or "") > 20
    assert kind in ("BLEND", "EDIT", "MAP", "CUT", "PICK")


def test_every_step_is_tried() -> None:
    """Random plans, fuzz, properties, digests and Gumbel-max take their steps from one table, which lacks none.

    Each field of a step is varied there, but for those that are one value by their nature.
    """
    assert set(made.MAKERS) == {name for name, _ in STEPS} == set(made.CLASSES)
    for suite in ("plans", "test_fuzz", "test_properties", "test_digest", "test_gumbel"):
        text = (rows.ROOT / "tests" / f"{suite}.py").read_text()
        assert re.search(r"made\.(NAMES|ANYWHERE|family)", text), suite
    for name in made.NAMES:
        tried = [made.step(name, made.Numbers.fixed(seed, 300, 20)) for seed in range(300)]
        for field in dataclasses.fields(made.CLASSES[name]):
            varied = len({repr(getattr(step, field.name)) for step in tried}) > 1
            assert varied or field.name == "enabled", (name, field.name)


def test_no_step_without_a_line() -> None:
    named = {name for name, _ in STEPS}
    for each in steps.__all__:
        step = getattr(steps, each)
        if step is not steps.Step:
            assert step.name in named, each
    twins = {name for name in dir(reference.steps) if not name.startswith("_")}
    assert twins == named


def twins() -> list[ast.AST]:
    """The syntax of the reference, all its files."""
    paths = (rows.ROOT / "fastlogits" / "reference").glob("*.py")
    return [node for path in paths for node in ast.walk(ast.parse(path.read_text()))]


def test_short_twins() -> None:
    """Each function of the reference is at most ten lines of code."""
    for node in twins():
        if isinstance(node, ast.FunctionDef):
            has_doc = ast.get_docstring(node) is not None
            body = node.body[1:] if has_doc else node.body
            lines = sum(each.end_lineno - each.lineno + 1 for each in body if each.end_lineno)
            assert lines <= 10, node.name
            assert has_doc or node.name == "__init__", node.name


def test_reference_does_not_import_the_core() -> None:
    modules = {alias.name for node in twins() if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in twins() if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if re.match(r"fastlogits\b(?!\.reference\b)", module)]


def test_skips_say_why() -> None:
    """A skip in the tests names its reason, and nothing is expected to fail."""
    for path in sorted((rows.ROOT / "tests").glob("*.py")):
        text = path.read_text()
        for call in re.findall(r"pytest\.(?:mark\.)?skip(?:if)?\b(?:\(([^\n]*))?", text):
            assert call.strip() not in ("", ")"), f"{path.name}: a skip without a reason"
        if path.name != "test_completeness.py":
            assert "xfail" not in text, path.name


@pytest.mark.parametrize("kind", ["sample", "probs", "filter_logits", "candidates"])
def test_sampler_takes_the_inputs_of_the_function(kind: str) -> None:
    steering = {*_steering.KEYWORDS, "steering", "logits", "self"}
    function = set(inspect.signature(getattr(fastlogits, kind)).parameters) - steering
    method = set(inspect.signature(getattr(fastlogits.Sampler, kind)).parameters) - steering
    assert function == method
