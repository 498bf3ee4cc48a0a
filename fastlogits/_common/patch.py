"""Attributes of a client's objects, replaced as long as anybody asks for it: nested in any order, from any thread."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

_MISSING = object()
_lock = threading.RLock()
_patches: dict[tuple[int, str], _Patch] = {}


class _Patch:
    """One attribute in use: what it was, and the replacements of its users, of whom the last to come is served."""

    def __init__(self, owner: Any, name: str, default: Any) -> None:
        self.owner, self.name = owner, name
        self.before = vars(owner).get(name, _MISSING)
        self.original = original = getattr(owner, name, default)
        self.users: list[tuple[Any, Any]] = []  # who uses it, and the replacement
        users = self.users

        def call(*args: Any, **options: Any) -> Any:
            try:
                replacement = users[-1][1]
            except IndexError:  # kept by somebody beyond its time
                replacement = original
            return replacement(*args, **options)

        self.installed = staticmethod(call) if isinstance(owner, type) else call
        setattr(owner, name, self.installed)

    def restore(self) -> None:
        """Puts the attribute back, unless somebody else has replaced it meanwhile."""
        if vars(self.owner).get(self.name, _MISSING) is not self.installed:
            return
        if self.before is _MISSING:
            delattr(self.owner, self.name)
        else:
            setattr(self.owner, self.name, self.before)


@contextlib.contextmanager
def replaced(owner: Any, name: str, make: Callable[[Any], Callable[..., Any]], default: Any = None) -> Iterator[None]:
    """A function of an object, a class or a module is ``make(original)`` as long as the context lasts.

    Contexts may begin and end in any order and in any thread. The attribute is that of the last one to begin among
    those that still last; once all have ended it is what it was before the first. The original is the attribute
    without any of them, or `default` where there is none.
    """
    key, user = (id(owner), name), object()
    with _lock:
        patch = _patches.get(key)
        replacement = make(getattr(owner, name, default) if patch is None else patch.original)
        if patch is None:
            patch = _patches[key] = _Patch(owner, name, default)
        patch.users.append((user, replacement))
    try:
        yield
    finally:
        with _lock:
            patch.users[:] = [each for each in patch.users if each[0] is not user]
            if not patch.users:
                del _patches[key]
                patch.restore()
