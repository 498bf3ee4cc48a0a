"""Who may use whom: imports go down the layers alone and form no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

import rows

PACKAGE = rows.ROOT / "fastlogits"

#: The layers, lowest first. A part may use what stands in a line above its own, and itself.
LAYERS = (
    ("reference",),
    ("_core",),
    ("_common",),
    ("arrays", "cpu", "steps"),
    ("sampling", "scipy"),
    ("calibration",),
    ("scoring",),
    ("llama_cpp", "report", "torch"),
    ("dask", "plots", "transformers"),
    ("__init__",),
    ("bench",),
    ("cli",),
    ("__main__",),
)
LEVEL = {part: level for level, parts in enumerate(LAYERS) for part in parts}
#: Most links in a chain of imports that counts each folder once.
CHAIN = 10
Graph = Mapping[str, set[str]]


def modules() -> dict[str, ast.Module]:
    """Every module by its dotted name, a package's own under the name ``package.__init__``."""
    paths = {path: path.relative_to(PACKAGE).with_suffix("").parts for path in PACKAGE.rglob("*.py")}
    return {".".join(parts): ast.parse(path.read_text()) for path, parts in paths.items() if parts[0] != "data"}


def statements(node: ast.AST, late: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports below a node that run with the module, with ``late`` those of functions too; never those of types."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            for each in child.orelse:
                yield from statements(each, late)
        elif isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif late or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child, late)


def imported(trees: Mapping[str, ast.Module], late: bool) -> dict[str, set[str]]:
    """Which modules of the package each module imports."""
    known = {name.removesuffix(".__init__"): name for name in trees} | {"": "__init__", "_core": "_core"}

    def target(dotted: str) -> Iterator[str]:
        package, _, rest = dotted.partition(".")
        if package == "fastlogits" and rest in known:
            yield known[rest]

    graph: dict[str, set[str]] = {name: set() for name in trees}
    for name, tree in trees.items():
        for node in statements(tree, late):
            if isinstance(node, ast.Import):
                wanted = [alias.name for alias in node.names]
            else:
                assert not node.level, f"{name}: an import by its full name says where it goes"
                module = node.module or ""
                inner = [f"{module}.{alias.name}" for alias in node.names]
                wanted = [full if [*target(full)] else module for full in inner]
            graph[name] |= {each for dotted in wanted for each in target(dotted)} - {name}
    return graph


def upward(graph: Graph, level: Mapping[str, int]) -> list[str]:
    """The uses of a part by one of the same line or an earlier one."""
    part = {name: name.partition(".")[0] for name in {*graph, *(to for used in graph.values() for to in used)}}
    return [
        f"{name} uses {to}"
        for name, used in sorted(graph.items())
        for to in sorted(used)
        if part[name] != part[to] and level[part[name]] <= level[part[to]]
    ]


def circle(graph: Graph) -> list[str]:
    """The names along a circle of a graph; empty where there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def longest(graph: Graph) -> int:
    """The number of links in the longest chain of a graph without circles."""
    length: dict[str, int] = {}
    for name in TopologicalSorter(graph).static_order():
        length[name] = max((length[to] + 1 for to in graph.get(name, ())), default=0)
    return max(length.values(), default=0)


def test_imports_go_down() -> None:
    graph = imported(modules(), late=True)
    assert {name.partition(".")[0] for name in graph} | {"_core"} == set(LEVEL)
    assert not upward(graph, LEVEL)
    assert all(
        to.partition(".")[0] == "reference" for name in graph if name.startswith("reference") for to in graph[name]
    )


def test_imports_form_no_circle() -> None:
    assert not circle(imported(modules(), late=False))


def test_chains_are_short() -> None:
    parts: dict[str, set[str]] = {part: set() for part in LEVEL}
    for name, used in imported(modules(), late=False).items():
        parts[name.partition(".")[0]] |= {to.partition(".")[0] for to in used}
    assert not circle({part: used - {part} for part, used in parts.items()})
    assert longest({part: used - {part} for part, used in parts.items()}) <= CHAIN


def test_the_rules_find_what_they_forbid() -> None:
    """Controls: an arrow upward, a circle, an import by way of the package, and one that types alone need."""
    text = "from fastlogits import Sampler\nif TYPE_CHECKING:\n    from fastlogits.cli import main\n"
    graph = imported({"__init__": ast.parse(""), "arrays": ast.parse(text), "cli.main": ast.parse("")}, late=True)
    assert graph["arrays"] == {"__init__"}
    assert upward(graph, LEVEL) == ["arrays uses __init__"]
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})
    assert longest({"a": {"b"}, "b": {"c"}, "c": set()}) == 2


def test_the_package_is_not_crowded() -> None:
    assert len([path for path in PACKAGE.iterdir() if path.suffix in (".py", ".pyx", ".pxi", ".pyi", ".pxd")]) <= 12
