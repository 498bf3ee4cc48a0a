"""What was read of processors, and whether it is still so."""

from __future__ import annotations

import copy
from typing import Any

import torch


class Seen:
    """What `steps` read of some processors, and whether it is still so."""

    def __init__(self) -> None:
        self.values: list[tuple[Any, str, Any]] = []
        self.copies: list[tuple[Any, Any]] = []  # of what may change in place

    def add(self, processor: Any, name: str) -> Any:
        """The value of an attribute, remembered."""
        value = getattr(processor, name)
        self.values.append((processor, name, value))
        if isinstance(value, torch.Tensor):
            self.copies.append(
                (value, value.tolist() if value.numel() < 100 else value.clone())
            )  # the faster to compare
        elif isinstance(value, list | dict):
            self.copies.append((value, copy.deepcopy(value)))
        return value

    def holds(self) -> bool:
        """Whether the attributes are the same objects and hold what they held."""
        for processor, name, value in self.values:
            if getattr(processor, name) is not value:
                return False
        return all(_equal(value, before) for value, before in self.copies) if self.copies else True


def _equal(value: Any, before: Any) -> bool:
    """Whether a tensor, list or dict equals its copy."""
    if isinstance(before, torch.Tensor):
        return bool(torch.equal(value, before))
    return bool((value.tolist() if isinstance(value, torch.Tensor) else value) == before)


class Read:
    """A processor in the eyes of its `steps`: every attribute that is read is remembered."""

    def __init__(self, processor: Any, seen: Seen) -> None:
        self._processor, self._seen = processor, seen

    def __getattr__(self, name: str) -> Any:
        return self._seen.add(self._processor, name)
