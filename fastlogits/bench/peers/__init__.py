"""How users of other libraries do the work of a job: one file per library, which imports it when it is loaded."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, field

from fastlogits.bench.jobs import Contestant
from fastlogits.bench.rows import Inputs

Way = Callable[[Inputs], Contestant]


@dataclass(frozen=True)
class Peer:
    """A library: its name, the distributions whose versions count, and its way of doing each job that it has."""

    name: str
    distributions: tuple[str, ...]
    ways: dict[str, Way] = field(default_factory=dict)

    def does(self, *jobs: str) -> Callable[[Way], Way]:
        """The decorated function is the way of these jobs."""

        def note(way: Way) -> Way:
            self.ways.update(dict.fromkeys(jobs, way))
            return way

        return note

    def versions(self) -> dict[str, str]:
        """Of the distributions; "unknown" where one has no metadata."""
        found = {}
        for name in self.distributions:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = "unknown"
        return found


#: What to install for each peer.
INSTALL = {
    "numpy": "numpy",
    "scipy": "scipy",
    "torch": "torch",
    "transformers": "torch transformers",
    "llama_cpp": "llama-cpp-python",
    "onnxruntime": "onnxruntime",
}


def load(name: str) -> Peer:
    """The peer of a name in `INSTALL`.

    Raises
    ------
    ImportError
        It is not installed.
    """
    peer: Peer = importlib.import_module(f"fastlogits.bench.peers.{name}").PEER
    return peer
