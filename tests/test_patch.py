"""A client's functions replaced: nested in any order, from threads, with somebody else's replacement in between."""

from __future__ import annotations

import contextlib
import threading
import types
from typing import Any

import pytest

from fastlogits._common import patch as _patch
from fastlogits._common.patch import replaced


class Client:
    @staticmethod
    def twice(x: int) -> int:
        return 2 * x

    def name(self) -> str:
        return "client"


def as_text(text: str) -> Any:
    return lambda original: lambda *args: f"{text} of {original(*args)}"


def test_one() -> None:
    client = Client()
    with replaced(client, "name", as_text("a")):
        assert client.name() == "a of client"
        assert Client().name() == "client"
    assert client.name() == "client"
    assert not vars(client)
    assert not _patch._patches


def test_static_methods_and_missing_names() -> None:
    module, before = types.ModuleType("module"), vars(Client)["twice"]
    with replaced(Client, "twice", lambda original: lambda x: original(x) + 1), replaced(
        module, "sorted", lambda original: lambda values: original(values)[::-1], sorted
    ):  # fmt: skip
        assert Client.twice(3) == Client().twice(3) == 7
        assert module.sorted([1, 3, 2]) == [3, 2, 1]
    assert vars(Client)["twice"] is before
    assert not hasattr(module, "sorted")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_any_order(order: tuple[int, ...]) -> None:
    """The last to begin of those that last is served, each with the client's own function behind it."""
    client = Client()
    contexts = [replaced(client, "name", as_text(str(i))) for i in range(3)]
    for i, each in enumerate(contexts):
        each.__enter__()
        assert client.name() == f"{i} of client"
    left = [0, 1, 2]
    for i in order:
        contexts[i].__exit__(None, None, None)
        left.remove(i)
        assert client.name() == (f"{left[-1]} of client" if left else "client")
    assert not vars(client)


def test_an_error_ends_it() -> None:
    client = Client()
    with contextlib.suppress(KeyError), replaced(client, "name", as_text("a")):
        raise KeyError
    with pytest.raises(AttributeError), replaced(client, "name", lambda original: original.missing):
        pass
    assert client.name() == "client"
    assert not _patch._patches


def test_somebody_elses_replacement_stays() -> None:
    client = Client()
    with replaced(client, "name", as_text("ours")):
        inner = client.name
        client.name = lambda: f"theirs of {inner()}"  # type: ignore[method-assign]
        assert client.name() == "theirs of ours of client"
    assert client.name() == "theirs of client"
    with replaced(client, "name", as_text("ours")):
        assert client.name() == "ours of theirs of client"
    assert client.name() == "theirs of client"


def test_threads() -> None:
    """Eight threads begin and end on two objects; whoever is within has a replacement."""
    clients, wrong = [Client(), Client()], []

    def work(number: int) -> None:
        for i in range(300):
            client = clients[(number + i) % 2]
            with replaced(client, "name", as_text("ours")):
                if client.name() != "ours of client":
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not any(vars(client) for client in clients)
    assert not _patch._patches
