"""Functions that are a method of a Sampler made on the spot, of the call's own keywords."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from fastlogits._common.call_inputs import CallInputs
from fastlogits._common.familiar import refuse_unknown
from fastlogits.sampling.keywords import KEYWORDS, Steering, spelled_out
from fastlogits.sampling.sampler import Sampler

F = TypeVar("F", bound=Callable[..., Any])


class Keywords(Steering, CallInputs, total=False):
    """What every function of this module takes: the steering keywords of `Sampler` and the inputs of a call."""


_PLAIN = frozenset((float, int, str, bool, type(None)))
# Keywords that are all plain scalars make the same Sampler again and again; typed, since True is no 1 here.
_kept = functools.lru_cache(maxsize=64, typed=True)(Sampler)
_last: tuple[dict[str, Any], Sampler] = ({}, Sampler())  # a loop's call has the very same objects again


def sampler_of(function: str, keywords: Any, *, rng: str = "rng") -> Sampler:
    """A Sampler of these keywords, made earlier where that is safe; an error about one names the function.

    ``rng`` is what the function calls its random numbers.
    """
    global _last
    before, sampler = _last
    if len(keywords) == len(before):
        for name, value in keywords.items():
            if before.get(name, _last) is not value:
                break
        else:
            return sampler
    if not keywords.keys() <= KEYWORDS.keys():
        refuse_unknown(function, keywords, KEYWORDS, rng=rng)
    for value in keywords.values():
        if type(value) not in _PLAIN:
            return Sampler(**keywords)
    sampler = _kept(**keywords)
    _last = keywords, sampler
    return sampler


def on_the_spot(function: F) -> F:
    """The declared function as the method of a Sampler of its steering keywords, with all arguments of that method.

    The text is made, so that a call costs one call of the method and no second dict of arguments.
    """
    name = function.__name__
    own = list(inspect.signature(getattr(Sampler, name)).parameters.values())[1:]
    by_place = [p.name for p in own if p.kind is p.POSITIONAL_OR_KEYWORD]
    by_name = [p.name for p in own if p.kind is p.KEYWORD_ONLY]
    head = ", ".join([*by_place, "*", *(f"{each}=_{each}" for each in by_name), "**steering"])
    passed = ", ".join([*by_place, *(f"{each}={each}" for each in by_name)])
    text = f"def {name}({head}):\n    return sampler_of({name!r}, steering).{name}({passed})\n"
    space: dict[str, Any] = {"sampler_of": sampler_of, "__name__": __name__}
    space.update({f"_{p.name}": p.default for p in own})
    exec(compile(text, f"<{__name__}.{name}>", "exec"), space)
    made: F = space[name]
    made.__doc__, made.__annotations__ = function.__doc__, function.__annotations__
    return spelled_out(made)
