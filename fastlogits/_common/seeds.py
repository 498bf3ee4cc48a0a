"""The random numbers that users name: one seed for a call, or one for each row."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits._common import mismatch as _mismatch
from fastlogits._common.inputs import _INTEGERS, is_sequence, plain_array, wrapped
from fastlogits._common.params import shown

_GENERATOR, _BIT_GENERATOR = np.random.Generator, np.random.BitGenerator


class Seed:
    """Among the values of ``rng``: a seed of an adapter's making, made when a call asks for it."""

    def __init__(self, made: Callable[[], int]) -> None:
        self.made = made


def seed_word(rng: Any) -> int:
    """The seed in [0, 2^64) that ``rng`` stands for; spends one word of a Generator or BitGenerator."""
    if isinstance(rng, Seed):
        return rng.made()
    if isinstance(rng, _GENERATOR):
        return int(rng.bit_generator.random_raw())
    if isinstance(rng, _BIT_GENERATOR):
        return int(rng.random_raw())
    if isinstance(rng, np.random.SeedSequence):
        return int(rng.generate_state(1, np.uint64)[0])
    if rng is None:
        return secrets.randbits(64)
    if isinstance(rng, _INTEGERS) and not isinstance(rng, bool):
        seed = int(rng)
        if seed < 0:
            raise ValueError(f"rng must be >= 0, got {seed}; None means random")
        return seed if seed < 2**64 else int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
    if seeds_of_rows(rng):
        raise TypeError(f"rng must be one seed for one row, got {len(rng)}{_NO_LIST}")
    allowed = "an integer, numpy.random.Generator, BitGenerator, SeedSequence or None"
    raise TypeError(f"rng must be {allowed}, got {_mismatch.random_source(rng)}")


_NO_LIST = "; a list holds one seed per row, unlike that of numpy.random.default_rng, whose Generator rng takes too"


def seed_words(rng: Any, outer: tuple[int, ...]) -> int | NDArray[np.int64]:
    """The seed that ``rng`` stands for; or one per row, mod 2^64, where it holds an int or None for each."""
    if not outer or not seeds_of_rows(rng):
        return seed_word(rng)
    given = np.array(rng, object) if isinstance(rng, list | tuple) else plain_array("rng", rng)
    if given.shape != outer and given.shape != (math.prod(outer),):
        got = given.size if given.ndim == 1 else f"shape {given.shape}"
        rows = f"{outer[0]} rows" if len(outer) == 1 else f"rows of shape {outer}"
        raise ValueError(f"rng must hold one seed per row ({rows}), got {got}{_NO_LIST}")
    return np.array([_row_seed(r, seed) for r, seed in enumerate(given.ravel().tolist())], np.int64)


def seeds_of_rows(rng: Any) -> bool:
    """Whether ``rng`` holds a seed for each row."""
    return not isinstance(rng, dict | bytearray | memoryview) and is_sequence(rng)


def _row_seed(r: int, seed: Any) -> int:
    """The seed of row ``r``."""
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, _INTEGERS)):
        raise TypeError(f"rng[{r}] must be an integer >= 0 or None, got {shown(seed)}")
    if seed is not None and seed < 0:
        raise ValueError(f"rng[{r}] must be >= 0, got {seed}; None means random")
    return wrapped("rng", seed_word(seed))
