"""What this machine and this build offer, and what is in use."""

from __future__ import annotations

import functools
import platform
from pathlib import Path

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs

__all__ = ["available_isas", "default_threads", "isa", "known_isas", "name"]


def isa() -> str:
    """Name of the instruction set in use: the best one on offer, or what FASTLOGITS_ISA asked for at import.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.cpu.isa() in fl.cpu.available_isas()
    True
    """
    return _core.isa()


def available_isas() -> tuple[str, ...]:
    """Names of the instruction sets that this build holds and this machine offers, best first.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.cpu.available_isas()[-1]
    'scalar'
    """
    return _core.isas()


def known_isas() -> tuple[str, ...]:
    """Names of all instruction sets, best first.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.cpu.known_isas()
    ('avx512', 'avx2', 'neon', 'scalar')
    """
    return _core.known_isas()


def default_threads() -> int:
    """How many threads a call uses unless it says otherwise: FASTLOGITS_THREADS, else 1.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.cpu.default_threads() >= 1
    True
    """
    return _inputs.thread_count(None)


@functools.cache
def name() -> str:
    """Name of the processor as the operating system gives it.

    Examples
    --------
    >>> import fastlogits as fl
    >>> isinstance(fl.cpu.name(), str)
    True
    """
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
