"""The inputs of a call: one line each, from which signatures, documentation and hints follow.

A method takes them as ``**inputs: Unpack[CallInputs]`` and passes one `Inputs` inward.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypedDict, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class _History(TypedDict, total=False):
    """The tokens before the one to come."""

    context: Any
    prompt_length: Any
    state: Any
    position: Any
    keys: Any
    out_of_vocab: str


class _Rows(TypedDict, total=False):
    """What any rows have."""

    rng: Any
    uncond: Any
    amateur: Any
    expert: Any
    anti: Any


class _Work(TypedDict, total=False):
    """How the rows are worked on."""

    threads: int | None
    on_error: str


class RowInputs(_History, _Rows, total=False):
    """The inputs of a call about one row."""


class BatchInputs(_Rows, _Work, total=False):
    """The inputs of a call whose rows have states of their own."""


class CallInputs(RowInputs, _Work, total=False):
    """The inputs of a call; see `Sampler.sample`."""


class Inputs:
    """The inputs of one call as they came, in the order of signatures; one that is not given has its default."""

    context: Any = None
    prompt_length: Any = 0
    state: Any = None
    rng: Any = None
    position: Any = None
    keys: Any = None
    out_of_vocab: Any = "error"
    threads: Any = None
    on_error: Any = "raise"
    uncond: Any = None
    amateur: Any = None
    expert: Any = None
    anti: Any = None

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.__dict__.update(given)

    @property
    def beside(self) -> tuple[Any, ...]:
        """The companion rows, in the order of `_core.BESIDE`."""
        return self.uncond, self.amateur, self.expert, self.anti


#: Every input with its default, in the order of signatures.
DEFAULTS: dict[str, Any] = {name: getattr(Inputs, name) for name in Inputs.__annotations__}


def defaults_of(declared: Any) -> dict[str, Any]:
    """The inputs that a TypedDict of this module declares, with their defaults."""
    return {name: default for name, default in DEFAULTS.items() if name in declared.__annotations__}


def signed(inputs: Any) -> Callable[[F], F]:
    """A decorator: the inputs one by one in the signature of a function of ``**inputs``, for help() and editors."""
    defaults = defaults_of(inputs)

    def sign(function: F) -> F:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        ends = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=d) for n, d in defaults.items()]
        function.__signature__ = signature.replace(parameters=[*own, *ends])  # type: ignore[attr-defined]
        return function

    return sign
