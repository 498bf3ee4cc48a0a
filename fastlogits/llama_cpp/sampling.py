"""Our sampler instead of llama.cpp's chain, in llama-cpp-python."""

from __future__ import annotations

import contextlib
import ctypes
import secrets
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits import steps as s
from fastlogits._common.patch import replaced
from fastlogits.llama_cpp.client import client_of
from fastlogits.sampling.sampler import Sampler
from fastlogits.sampling.systems import llama_seed


class _Chain:
    """What the client's ``_init_sampler`` returns, with our steps: ``sample(ctx, idx)`` and ``close()``."""

    def __init__(self, llama: Any, client: Any, sampler: Sampler, processors: Any) -> None:
        self._llama, self._sampler, self._processors = llama, sampler, processors
        self._address_of = _row_address(client)
        self._n = int(llama.n_vocab())
        seed = llama_seed(int(llama._seed))
        self._seed = secrets.randbits(63) if seed is None else seed
        self._state = sampler.state()  # as llama.cpp's chain, which is told of what it drew, not of the prompt
        self._rows: dict[int, NDArray[np.float32]] = {}

    def sample(self, ctx: Any, idx: int = -1) -> int:
        """The token drawn from the logits of output `idx`."""
        address = self._address_of(ctx.ctx, idx)
        if not address:
            raise ValueError(f"idx must be an output of the last evaluation that has logits, got {idx}")
        row = self._rows.get(address)
        if row is None:
            row = np.ctypeslib.as_array((ctypes.c_float * self._n).from_address(address))
            self._rows[address] = row
        for processor in self._processors or ():
            row = np.asarray(processor(self._llama._input_ids, row.copy()), np.float32)
        token = self._sampler.sample(row, state=self._state, rng=self._seed)
        self._state.accept(token)
        return int(token)

    def close(self) -> None:
        """Nothing to free."""


def _row_address(client: Any) -> Callable[[Any, int], int | None]:
    """``llama_get_logits_ith`` as a function from (context, output) to an address, or None."""
    library = getattr(client.llama_cpp, "_lib", None)
    if not isinstance(library, ctypes.CDLL):
        return lambda ctx, idx: ctypes.cast(client.llama_get_logits_ith(ctx, idx), ctypes.c_void_p).value
    function = library["llama_get_logits_ith"]
    function.restype, function.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_int32]
    return function


def _sampler_of(llama: Any, options: dict[str, Any]) -> Sampler:
    """The client's chain for these arguments of ``_init_sampler``, as `Sampler`, with its defaults and order."""
    defaults = {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "typical_p": 1.0, "temp": 0.8, "repeat_penalty": 1.0}
    given = defaults | {name: value for name, value in options.items() if value is not None}
    steering: dict[str, Any] = {
        "penalty_window": max(0, int(llama.last_n_tokens_size)),
        "repetition_penalty": given["repeat_penalty"],
        "frequency_penalty": given.get("frequency_penalty", 0.0),
        "presence_penalty": given.get("presence_penalty", 0.0),
    }
    mode = given.get("mirostat_mode", 0)
    if given["temp"] == 0:
        steering |= {"temperature": 0.0}
    elif given["temp"] > 0 and mode in (1, 2):
        tau, eta = given.get("mirostat_tau", 5.0), given.get("mirostat_eta", 0.1)
        return Sampler(*Sampler(**steering, preset="llama.cpp").steps, s.Mirostat(mode, tau, eta))
    elif given["temp"] > 0:
        steering |= {
            "top_k": max(0, given["top_k"]),
            "typical_p": min(1.0, max(0.0, given["typical_p"])),
            "top_p": min(1.0, max(0.0, given["top_p"])),
            "min_p": min(1.0, max(0.0, given["min_p"])),
            "temperature": given["temp"],
        }
    return Sampler(**steering, preset="llama.cpp")


@contextlib.contextmanager
def fast_sampling(llama: Any, sampler: Sampler | None = None) -> Iterator[None]:
    """Our sampler instead of llama.cpp's chain, for one ``Llama`` and as long as the context lasts.

    Parameters
    ----------
    llama : llama_cpp.Llama
        Whose sampling is replaced.
    sampler : Sampler, optional
        Used for every token; the arguments of a call are ignored; by default the client's own chain for these
        arguments (``preset="llama.cpp"``: penalties over ``last_n_tokens_size`` drawn tokens, then mirostat, or top-k,
        typical-p, top-p, min-p and the temperature), so the same distribution.

    Raises
    ------
    ImportError
        llama-cpp-python is not installed, or fails to import.
    TypeError
        `llama` is no Llama, or of a version that samples in another way.

    Notes
    -----
    The contiguous row of ``llama_get_logits_ith`` is read in place. ``logits_processor``, and ``logit_bias``, which the
    client passes as one, run first, on a copy. A grammar leaves a call to the client's chain, with a warning.

    The client's seed is used as it is; -1 and 4294967295 are random, as in the client. Tokens come from our generator:
    the same seed gives other tokens than llama.cpp, and the same ones on every machine. Each completion keeps a
    `State`, so mirostat and adaptive-p adapt.

    Contexts may begin and end in any order and in any thread, for several models and more than once for one model. The
    sampler of a model is that of the context that began last; a generator keeps the one that it began with, and so does
    ``Llama.sample``, which the client has go on with the last generator's.
    """
    client = client_of(llama)

    def made(original: Any) -> Any:
        def init(*args: Any, logits_processor: Any = None, grammar: Any = None, **options: Any) -> Any:
            if grammar is not None:
                warnings.warn("a grammar is llama.cpp's own work: this call samples with its chain", stacklevel=2)
                return original(*args, logits_processor=logits_processor, grammar=grammar, **options)
            if args:
                raise TypeError("_init_sampler takes keywords alone under fast_sampling")
            return _Chain(llama, client, sampler or _sampler_of(llama, options), logits_processor)

        return init

    with replaced(llama, "_init_sampler", made):
        yield


# ---- log-probs ----------------------------------------------------------------------------------------------------
