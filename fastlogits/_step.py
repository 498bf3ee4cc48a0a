"""What all steps have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class Step:
    """What all steps have in common: a name. Use its subclasses."""

    name: ClassVar[str]
    random: ClassVar[bool] = False  # whether it takes a random number beside that of the draw

    def _set(self, **fields: Any) -> None:
        """Replaces fields by their checked values, once, in ``__post_init__``."""
        for field, value in fields.items():
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        shown: list[str] = []
        for field, spec in type(self).__dataclass_fields__.items():
            value = getattr(self, field)
            if type(spec.default) is not type(value) or spec.default != value:
                shown.append(f"{field}={value!r}" if shown or spec.default is None else repr(value))
        return f"{type(self).__name__}({', '.join(shown)})"
