"""What all steps have in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastlogits._common import params

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fastlogits.steps.operands import Lists


_OTHER_FIELDS = (
    "min_keep", "ties", "joint", "space", "strict", "window", "prompt", "special_tokens", "sequence_breakers", "ids",
    "sequences", "bias", "mask", "output_only",
)  # fmt: skip


#: Fields that are checked alike in every step that has them.
_SHARED: dict[str, Callable[[Any], Any]] = {
    "min_keep": lambda value: params.integer("min_keep", value, 1, off=1),
    "ties": lambda value: params.choice("ties", value, ("id", "keep")),
    "joint": lambda value: params.flag("joint", value),
    "strict": lambda value: params.flag("strict", value),
}


@dataclass(frozen=True)
class Step:
    """What all steps have in common: a name. Use its subclasses."""

    name: ClassVar[str]
    random: ClassVar[bool] = False  # whether it takes a random number beside that of the draw
    beside: ClassVar[
        tuple[str, ...]
    ] = ()  # arguments of a call: rows that it combines with the logits; it stands first

    def _set(self, **fields: Any) -> None:
        """Replaces fields by their checked values, once, in ``__post_init__``; those of `_SHARED` too."""
        shared = {name: check(getattr(self, name)) for name, check in _SHARED.items() if hasattr(self, name)}
        for field, value in (shared | fields).items():
            object.__setattr__(self, field, value)

    def _numbers(self) -> list[Any]:
        """The numbers of the step, three at most: all fields but those that say which tokens, or how to count."""
        return [value for field, value in vars(self).items() if field not in _OTHER_FIELDS]

    def _lists(self) -> Lists | None:
        """The tokens that the step names, as C reads them."""
        return None

    def _words(self) -> NDArray[np.uint32] | None:
        """Packed words of the tokens that the step allows, as C reads them."""
        return None

    def __repr__(self) -> str:
        shown: list[str] = []
        for field, spec in type(self).__dataclass_fields__.items():
            value = getattr(self, field)
            if type(spec.default) is not type(value) or spec.default != value:
                shown.append(f"{field}={value!r}" if shown or spec.default is None else repr(value))
        return f"{type(self).__name__}({', '.join(shown)})"
