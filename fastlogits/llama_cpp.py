"""For llama-cpp-python: a logits processor, our sampler instead of llama.cpp's chain, and log-probs without sorts.

>>> with fast_sampling(llama), fast_logprobs(llama):               # doctest: +SKIP
...     llama.create_chat_completion(messages, logprobs=True, top_logprobs=5)

Needs llama-cpp-python (``pip install llama-cpp-python``), which is imported when it is first used.
"""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import secrets
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from fastlogits import arrays
from fastlogits import steps as s
from fastlogits._common.errors import import_error
from fastlogits._common.familiar import refuse_unknown
from fastlogits._common.patch import replaced
from fastlogits.sampling.keywords import KEYWORDS, Steering
from fastlogits.sampling.sampler import Sampler
from fastlogits.sampling.state import State
from fastlogits.sampling.systems import llama_seed

__all__ = ["LogitsProcessor", "fast_logprobs", "fast_sampling"]

#: How many sequences a processor follows at a time.
_SEQUENCES = 8


class LogitsProcessor:
    """A processor for ``logits_processor=LogitsProcessorList([...])``: the client's strided scores, without a copy.

    Parameters
    ----------
    *steps, **steering
        As of `Sampler`; or one Sampler.
    only_drawn : bool, default False
        Draw, and leave that token alone, so that llama.cpp's own chain can only take it.
    rng : int, Generator or None
        Of the draw; an int is the seed of a stream that moves with the number of tokens.

    Notes
    -----
    Called as ``processor(input_ids, scores)`` with ids [n] and float32 scores [V] of any stride (the client's are 12
    bytes apart), it writes the result into ``scores`` and returns it, which is the client's contract.

    The processor keeps a `State` for each of the last sequences that it saw, so mirostat and adaptive-p adapt. Tokens
    that continue none of these sequences begin a new one. Without ``only_drawn`` the surprise of a token is the one
    that it has in the scores returned before it, which is right where llama.cpp's chain draws from them unchanged.

    Examples
    --------
    >>> import numpy as np
    >>> from fastlogits.llama_cpp import LogitsProcessor
    >>> records = np.zeros(3, [("id", np.intc), ("logit", np.float32), ("p", np.float32)])
    >>> records["logit"] = [1.0, 3.0, 2.0]
    >>> LogitsProcessor(top_k=2)(np.array([0, 1], np.intc), records["logit"])
    array([-inf,   3.,   2.], dtype=float32)
    """

    def __init__(self, *steps: Any, only_drawn: bool = False, rng: Any = None, **steering: Unpack[Steering]) -> None:
        given = len(steps) == 1 and isinstance(steps[0], Sampler) and not steering
        refuse_unknown(type(self).__name__, steering, KEYWORDS)
        self._sampler = steps[0] if given else Sampler(*steps, **steering)
        self._only_drawn, self._rng = only_drawn, rng
        self._sequences = _Sequences(self._sampler)

    def __call__(self, input_ids: NDArray[np.intc], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The scores as the steps leave them, in their place."""
        with self._sequences.lock:
            sequence = self._sequences.of(np.array(input_ids, np.int64), scores.shape[-1])
            if self._only_drawn:
                token = self._sampler.sample(scores, state=sequence.state, rng=self._rng)
                kept = scores[token]
                scores[...] = -np.inf
                scores[token] = kept
            else:
                before = np.array(scores) if self._sequences.remembers else None
                self._sampler.filter_logits(scores, state=sequence.state, rng=self._rng, out=scores)
                sequence.row = before
        return scores


class _Sequence:
    """One sequence as far as a processor has seen it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.tokens = np.empty(0, np.int64)
        self.row: NDArray[np.float32] | None = None  # the scores behind these tokens, where somebody else draws

    def follow(self, ids: NDArray[np.int64]) -> None:
        """Accepts the tokens of `ids` beyond its own."""
        new = ids[self.tokens.size :]
        if self.row is not None and new.size == 1:
            self._hear(self.row, int(new[0]))
        self.state.accept(new)
        self.tokens, self.row = ids, None

    def _hear(self, row: NDArray[np.float32], token: int) -> None:
        """Has the state take a token for one drawn from `row`, if it can be.

        A token drafted from the target distribution itself is always accepted, which updates the state.
        """
        rows, sampler = np.stack([row, row]), self.state.sampler
        with contextlib.suppress(ValueError):  # a token of probability 0
            sampler.verify(rows, [token], draft_logits=rows[:1], state=self.state, rng=0)


class _Sequences:
    """The sequences that a processor follows, the one seen last at the end."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler = sampler
        self.lock = threading.Lock()
        self.remembers = any(step.name in ("mirostat", "adaptive_p") for step in sampler.steps)
        self._known: list[_Sequence] = []

    def __reduce__(self) -> Any:
        return _Sequences, (self._sampler,)

    def of(self, ids: NDArray[np.int64], vocab: int) -> _Sequence:
        """The longest sequence of this vocabulary that `ids` continues, up to date; a new one where there is none."""
        same = [each for each in self._known if each.state.vocab == vocab]
        known = [each for each in same if np.array_equal(each.tokens, ids[: each.tokens.size])]
        found = max(known, key=lambda each: each.tokens.size, default=None)
        if found is None:
            found = _Sequence(self._sampler.state(vocab=vocab, out_of_vocab="placeholder"))
        found.follow(ids)
        self._known = [*(each for each in self._known if each is not found), found][-_SEQUENCES:]
        return found


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
    client = _client(llama)

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


def _client(llama: Any) -> Any:
    """The client's module, once it is sure that `llama` is what this adapter knows."""
    try:
        import llama_cpp
    except ImportError as error:
        install = "fastlogits.llama_cpp needs llama-cpp-python: pip install llama-cpp-python"
        raise import_error(error, ("llama_cpp",), install) from error
    if not isinstance(llama, llama_cpp.Llama):
        raise TypeError(f"llama must be a llama_cpp.Llama, got {type(llama).__name__}")
    needed = ("_init_sampler", "_input_ids", "_seed", "last_n_tokens_size", "n_vocab", "logits_to_logprobs")
    if missing := [name for name in needed if not hasattr(llama, name)]:
        version = getattr(llama_cpp, "__version__", "unknown")
        raise TypeError(f"llama-cpp-python {version} is not supported: Llama has no {', '.join(missing)}")
    return llama_cpp


# ---- log-probs ----------------------------------------------------------------------------------------------------

#: How many of the likeliest tokens the running completion asks for; -1 where it asks for no log-probs.
_wanted: contextvars.ContextVar[int] = contextvars.ContextVar("wanted", default=-1)


class _Row:
    """The log-probs of one row, worked out as far as they are looked at."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self.logits = logits
        self._total = float(arrays.logsumexp(logits))

    def __len__(self) -> int:
        return int(self.logits.shape[0])

    def __getitem__(self, at: int) -> float:
        return float(self.logits[at]) - self._total

    def __iter__(self) -> Iterator[float]:
        return iter(self.__array__().tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        del copy
        return np.asarray(arrays.log_softmax(self.logits), dtype)

    def tolist(self) -> _Row:
        """Itself: the client makes a list of the whole vocabulary, of which it reads a few."""
        return self

    def best(self, n: int) -> list[tuple[float, int]]:
        """The n most likely as the client sorts them: (log-prob, id), both descending."""
        if n == 0:
            return []
        found = arrays.top_k(self.logits, min(n, len(self)))
        above = found.values > found.values[-1]
        equal = np.flatnonzero(self.logits == found.values[-1])[::-1]  # of the last ones those with the largest ids
        ids = np.concatenate([found.indices[above], equal])[: found.indices.size]
        best = sorted(((float(self.logits[i]), int(i)) for i in ids), reverse=True)
        return [(value - self._total, i) for value, i in best]


class _Rows:
    """The log-probs of rows [n, V]."""

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self.logits = logits

    def __len__(self) -> int:
        return int(self.logits.shape[0])

    def __getitem__(self, at: Any) -> Any:
        return _Rows(self.logits[at]) if isinstance(at, slice) else _Row(self.logits[at])

    def __iter__(self) -> Iterator[_Row]:
        return map(_Row, self.logits)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        del copy
        return np.asarray(arrays.log_softmax(self.logits), dtype)


class _Pairs:
    """``zip(log-probs, ids)`` of a row, to be sorted."""

    def __init__(self, row: _Row) -> None:
        self.row = row

    def __iter__(self) -> Iterator[tuple[float, int]]:
        return zip(self.row, range(len(self.row)), strict=True)


def _zip(*parts: Any, **options: Any) -> Any:
    """``zip``, but of a row's log-probs and their ids."""
    return _Pairs(parts[0]) if len(parts) == 2 and isinstance(parts[0], _Row) else zip(*parts, **options)  # noqa: B905


def _sorted(values: Any, **options: Any) -> Any:
    """``sorted``, but of a row's log-probs the best alone, as many as the completion looks at."""
    return values.row.best(_wanted.get()) if isinstance(values, _Pairs) else sorted(values, **options)


def _logits_to_logprobs(logits: Any, axis: int = -1) -> Any:
    """Replaces ``Llama.logits_to_logprobs``."""
    array = np.asarray(logits)
    lazy = axis in (-1, array.ndim - 1) and array.ndim in (1, 2) and array.dtype == np.float32 and _wanted.get() >= 0
    if lazy:
        return (_Row if array.ndim == 1 else _Rows)(array)
    return arrays.log_softmax(np.asarray(array, np.float32), axis=axis)


@contextlib.contextmanager
def fast_logprobs(llama: Any) -> Iterator[None]:
    """The log-prob path of completions without a log-softmax and a Python sort of the whole vocabulary per token.

    Parameters
    ----------
    llama : llama_cpp.Llama
        Made with ``logits_all=True``, as the client demands for log-probs.

    Raises
    ------
    ImportError
        llama-cpp-python is not installed, or fails to import.
    TypeError
        `llama` is no Llama, or of a version that this adapter does not know.

    Notes
    -----
    Results are the client's, to the rounding of a log-prob. ``Llama.logits_to_logprobs`` called by others gives an
    array, as before. As long as the context lasts, the names ``sorted`` and ``zip`` of the module ``llama_cpp.llama``
    are ours: they are Python's own for everything but these log-probs. Contexts may begin and end in any order and in
    any thread, for several models and more than once for one model.
    """
    client = _client(llama)

    def made(original: Any) -> Any:
        def completion(*args: Any, logprobs: int | None = None, **options: Any) -> Iterator[Any]:
            running = original(*args, logprobs=logprobs, **options)
            while True:
                token = _wanted.set(-1 if logprobs is None else logprobs)
                try:
                    part = next(running)
                except StopIteration:
                    return
                finally:
                    _wanted.reset(token)
                yield part

        return completion

    with (
        replaced(client.llama, "sorted", lambda original: _sorted, sorted),
        replaced(client.llama, "zip", lambda original: _zip, zip),
        replaced(client.Llama, "logits_to_logprobs", lambda original: _logits_to_logprobs),
        replaced(llama, "_create_completion", made),
    ):
        yield
