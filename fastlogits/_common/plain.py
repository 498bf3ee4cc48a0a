"""Results as plain Python objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastlogits._common.exact import ExactSum


def to_dict(result: Any) -> dict[str, Any]:
    """The fields of a named tuple or dataclass by name: numbers, strings, lists and dicts, fit for `json.dumps`."""
    names = getattr(result, "_fields", None) or [field.name for field in dataclasses.fields(result)]
    return {name: _plain(getattr(result, name)) for name in names}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, ExactSum):
        return value.over(1)
    if dataclasses.is_dataclass(value) or hasattr(value, "_fields"):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    array = np.asarray(value)  # a number, an array, or a dask array, which this computes
    return (array if array.dtype.kind in "biuf" else array.astype(np.float32)).tolist()
