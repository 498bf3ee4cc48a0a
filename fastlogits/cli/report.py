"""JSON and numbers as the commands print them."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np

from fastlogits.cli.state import replace


def plain(value: Any) -> Any:
    """`value` in JSON's own types: dataclasses and named tuples as objects, a number that is not finite as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def json_text(value: Any) -> str:
    """`value` as indented JSON in ASCII, valid in any encoding."""
    return json.dumps(plain(value), indent=2, allow_nan=False)


def print_json(value: Any) -> None:
    """Print `value` as JSON."""
    print(json_text(value))


def put_json(value: Any, place: str) -> None:
    """Print `value` as JSON where `place` is "-", else write it into that file."""
    if place == "-":
        print_json(value)
    else:
        replace(place, (json_text(value) + "\n").encode())
