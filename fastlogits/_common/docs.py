"""Parts of docstrings that several functions or steps have in common, each written once."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import fastlogits._core as _core
from fastlogits._common.call_inputs import DEFAULTS, BatchInputs, RowInputs, defaults_of

F = TypeVar("F", bound=Callable[..., Any])

_PARTS = {
    "logits": """\
logits : array_like [V] or [..., V], float32, float16, bfloat16, float64 or integers
    ndarray, torch CPU tensor, DLPack exporter or list; read in place, never written unless it is ``out``.""",
    "inputs": f"""\
{", ".join(DEFAULTS)}
    Inputs of the call; as in `Sampler.sample`.""",
    "inputs as in sample": f"""\
logits, {", ".join(DEFAULTS)}
    As in `sample`; rng, position and keys matter to random steps only.""",
    "inputs of a row": f"""\
logits, {", ".join(defaults_of(RowInputs))}
    As in `sample`.""",
    "inputs of a batch": f"""\
{", ".join(name for name in defaults_of(BatchInputs) if name not in _core.BESIDE)}
    As in `Sampler.sample`.""",
    "steering": """\
**steering
    The keywords of `Sampler`, in its order of work; all off by default.""",
    "out": """\
out : array of the shape and type of logits, optional
    Receives the result; may be ``logits`` itself.""",
    "array": """\
array [..., V] of the type of logits
    With ``on_error="status"`` the pair (array, status); a bad row holds NaN.""",
    "min_keep": """\
min_keep : int >= 1
    Keeps at least so many. Default 1.""",
    "counted": """\
window : int >= 0 or None
    Only the last ``window`` tokens count. None: all of them.
prompt : bool
    Whether the first ``prompt_length`` tokens count too. Default False.""",
    "ids at the end": """\
ids : token id in [0, V), or sequence of them, or one of these (or None) per row
    The tokens that end a text.""",
    "errors of rows": """\
ValueError
    A row holds NaN or +inf, has no finite logit or no token left, or an argument is out of range. The message
    names row and argument.
TypeError
    An argument is of a wrong type.""",
    "errors of fields": """\
ValueError, TypeError
    A field is unknown, unsupported or out of its range; the message names it.""",
}


def _part(line: re.Match[str]) -> str:
    """The part that a line names, as far in as the line is."""
    return "\n".join(line["indent"] + each for each in _PARTS[line["name"]].split("\n"))


def shared(function: F) -> F:
    """A function or class with each line ``{name}`` of its docstring replaced by the part of that name."""
    if function.__doc__ is not None:  # python -OO has none
        function.__doc__ = re.sub(r"(?m)^(?P<indent> *)\{(?P<name>[\w ]+)\}$", _part, function.__doc__)
    return function
