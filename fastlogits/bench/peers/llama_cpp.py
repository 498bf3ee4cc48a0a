"""llama.cpp through llama-cpp-python: its samplers in a chain, on the array of candidates that it fills for each token.

No model is needed. The array is filled from a ready copy, in about two thirds of the time that the loop of
``llama_sampler_sample`` takes; where the row is to come from memory, from the row and the ids.
"""

from __future__ import annotations

import ctypes
import functools
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import llama_cpp
import numpy as np

from fastlogits.bench.checks import Found
from fastlogits.bench.jobs import DRAWN, TOP_N, Chain, Contestant, both, values
from fastlogits.bench.peers import Peer
from fastlogits.bench.rows import Inputs

PEER = Peer("llama_cpp", ("llama-cpp-python",))
RECORD = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])
SEED = 7


@functools.lru_cache(maxsize=1)
def records(vocab: int) -> tuple[Any, Any]:
    """Buffer for the candidates, which all calls share as the client's do, and the token ids."""
    return np.zeros(vocab, RECORD), np.arange(vocab, dtype=np.int32)


class Samplers:
    """A chain of llama.cpp's samplers, applied to one row."""

    def __init__(self, i: Inputs, samplers: list[Any]) -> None:
        self.row = i.rows[0]
        self.data, self.ids = records(self.row.size)
        self.ready = None if i.cold else np.zeros(self.row.size, RECORD)
        if self.ready is not None:
            self.ready["id"], self.ready["logit"] = self.ids, self.row
            self.source = self.ready.ctypes.data
        self.chain = llama_cpp.llama_sampler_chain_init(llama_cpp.llama_sampler_chain_default_params())
        for each in samplers:
            llama_cpp.llama_sampler_chain_add(self.chain, each)
        weakref.finalize(self, llama_cpp.llama_sampler_free, self.chain)
        place = self.data.ctypes.data_as(ctypes.POINTER(llama_cpp.llama_token_data))
        self.array = llama_cpp.llama_token_data_array(place, self.row.size, -1, False)
        self.place = self.data.ctypes.data
        self.pointer = ctypes.byref(self.array)

    def fill(self) -> None:
        """Ids and logits of all tokens."""
        if self.ready is None:
            self.data["id"] = self.ids
            self.data["logit"] = self.row
        else:
            ctypes.memmove(self.place, self.source, self.data.nbytes)

    def apply(self) -> int:
        """Fill the array and let the chain work on it: where the selected token stands."""
        self.fill()
        array = self.array
        array.size, array.selected, array.sorted = self.row.size, -1, False
        llama_cpp.llama_sampler_apply(self.chain, self.pointer)
        return int(array.selected)

    def token(self) -> int:
        """The selected token."""
        return int(self.array.data[self.apply()].id)

    def left(self) -> Any:
        """What the chain leaves: records."""
        self.apply()
        offset = (ctypes.cast(self.array.data, ctypes.c_void_p).value or 0) - self.place
        return self.data[offset // RECORD.itemsize :][: self.array.size].copy()


# ---- pipelines -----------------------------------------------------------------------------------------------------

STEPS: dict[str, Callable[[Any], Any]] = {
    "temperature": llama_cpp.llama_sampler_init_temp,
    "top_k": llama_cpp.llama_sampler_init_top_k,
    "top_p": lambda p: llama_cpp.llama_sampler_init_top_p(p, 1),
    "min_p": lambda p: llama_cpp.llama_sampler_init_min_p(p, 1),
    "typical_p": lambda p: llama_cpp.llama_sampler_init_typical(p, 1),
    "top_n_sigma": llama_cpp.llama_sampler_init_top_n_sigma,
}


def penalties(chain: Chain, i: Inputs) -> list[Any]:
    """Penalties that have heard the context, and biases."""
    if not chain.edits:
        return []
    weights = (*chain.penalties().values(), 0.0, 0.0)[:3]
    vocab = i.x.shape[-1]
    made = llama_cpp.llama_sampler_init_penalties(vocab, len(i.context), *weights)
    for token in i.context.tolist():
        llama_cpp.llama_sampler_accept(made, token)
    if chain.edits != "all":
        return [made]
    ids, biases = i.bias
    pairs = (llama_cpp.llama_logit_bias * len(ids))(*zip(ids.tolist(), biases.tolist(), strict=True))
    return [made, llama_cpp.llama_sampler_init_logit_bias(vocab, len(ids), pairs)]


def _drawing(i: Inputs, chain: Chain) -> Contestant:
    steps = [STEPS[name](value) for name, value in chain.keywords.items() if name in STEPS]
    samplers = Samplers(i, [*penalties(chain, i), *steps, llama_cpp.llama_sampler_init_dist(SEED)])

    def result() -> Found:
        left = samplers.left()
        left = left[left["p"] > 0]
        return Found(left["id"].astype(np.int64), left["p"])

    return Contestant(samplers.token, result)


PEER.ways.update(
    {
        name: partial(_drawing, chain=chain)
        for name, (chain, _) in DRAWN.items()
        if set(chain.keywords) <= {"preset", *STEPS}
    }
)


# ---- single tokens and scores --------------------------------------------------------------------------------------


@PEER.does("argmax")
def _argmax(i: Inputs) -> Contestant:
    samplers = Samplers(i, [llama_cpp.llama_sampler_init_greedy()])
    return Contestant(samplers.token, lambda: Found(np.atleast_1d(samplers.token()), None))


def _top_k(i: Inputs, k: int) -> Contestant:
    samplers = Samplers(i, [llama_cpp.llama_sampler_init_top_k(k)])

    def result() -> Found:
        left = samplers.left()
        return Found(left["id"].astype(np.int64), left["logit"])

    return Contestant(samplers.apply, result)


PEER.ways.update({f"top_k {k}": partial(_top_k, k=k) for k in (40, 1000)})


@PEER.does("log_softmax")
def _log_softmax(i: Inputs) -> Contestant:
    return values(lambda: llama_cpp.Llama.logits_to_logprobs(i.x))


def best(row: Any, target: int) -> Any:
    """Log-probs as the client's completions list them."""
    scores = llama_cpp.Llama.logits_to_logprobs(row).tolist()
    listed = sorted(zip(scores, range(len(scores)), strict=True), reverse=True)[:TOP_N]
    return [token for _, token in listed], [scores[target], *(score for score, _ in listed)]


@PEER.does(f"token_logprobs, top {TOP_N}")
def _best(i: Inputs) -> Contestant:
    return both(partial(best, i.rows[0], int(i.targets[0])))
