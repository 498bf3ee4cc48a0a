"""torch on the CPU, with one thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from fastlogits.bench.checks import Found
from fastlogits.bench.jobs import CHAIN, DRAWN, GUMBEL, SAMPLERS, TOP_N, Chain, Contestant, both, ids, values
from fastlogits.bench.peers import Peer
from fastlogits.bench.rows import Inputs

PEER = Peer("torch", ("torch",))


def tensor(x: Any) -> Any:
    """The same memory as a tensor."""
    if str(x.dtype) == "bfloat16":
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def one_thread(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call in inference mode; torch keeps to one thread from here on."""
    torch.set_num_threads(1)
    quiet: Callable[[], Any] = torch.inference_mode()(call)
    return quiet


def plain(x: Any) -> Any:
    """A tensor as an array; bfloat16, which NumPy lacks, in float32, which holds it exactly."""
    return (x.float() if x.dtype == torch.bfloat16 else x).numpy()


def _values(call: Callable[[], Any]) -> Contestant:
    timed = one_thread(call)
    return Contestant(timed, values(lambda: plain(timed())).result)


# ---- array functions -----------------------------------------------------------------------------------------------


@PEER.does("argmax")
def _argmax(i: Inputs) -> Contestant:
    x = tensor(i.x)
    return ids(one_thread(lambda: torch.argmax(x, -1)))


def _top_k(i: Inputs, k: int) -> Contestant:
    x = tensor(i.x)
    call = one_thread(lambda: torch.topk(x, k))

    def result() -> Found:
        top, chosen = call()
        return Found(chosen.numpy(), plain(top))

    return Contestant(call, result)


PEER.ways.update({f"top_k {k}": partial(_top_k, k=k) for k in (40, 1000)})


@PEER.does("logsumexp")
def _logsumexp(i: Inputs) -> Contestant:
    x = tensor(i.x)
    return _values(lambda: torch.logsumexp(x.float(), -1))


@PEER.does("softmax", "softmax, float16", "softmax, bfloat16")
def _softmax(i: Inputs) -> Contestant:
    x, out = tensor(i.x), tensor(i.out)
    return _values(lambda: torch.softmax(x, -1, out=out))


@PEER.does("log_softmax")
def _log_softmax(i: Inputs) -> Contestant:
    x, out = tensor(i.x), tensor(i.singles)
    return _values(lambda: torch.log_softmax(x.float(), -1, out=out))


# ---- pipelines -----------------------------------------------------------------------------------------------------


def edited(chain: Chain, i: Inputs) -> Callable[[], Any]:
    """The row in float32 after the chain's penalties and biases."""
    x = tensor(i.rows[0])
    if not chain.edits:
        return lambda: x.float()
    context, (names, biases) = torch.from_numpy(i.context), i.bias
    at, bias = torch.from_numpy(names), torch.from_numpy(biases).float()
    repetition, *additive = chain.penalties().values()

    def call() -> Any:
        logits = x.to(torch.float32, copy=True)
        seen = logits[context]
        logits[context] = torch.where(seen > 0, seen / repetition, seen * repetition)
        if additive:
            counts = torch.bincount(context, minlength=logits.numel())
            logits -= counts * additive[0] + (counts > 0) * additive[1]
            logits[at] += bias
        return logits

    return call


def kept(chain: Chain, i: Inputs) -> Callable[[], tuple[Any, Any]]:
    """Ids and unnormalized probabilities of what the chain leaves: ids None for all tokens in order."""
    logits = edited(chain, i)
    temperature, k = chain.keywords["temperature"], chain.keywords.get("top_k")
    top_p, min_p = chain.keywords.get("top_p"), chain.keywords.get("min_p")

    def call() -> tuple[Any, Any]:
        x, chosen = logits() / temperature, None
        if k is not None:
            x, chosen = torch.topk(x, k)
        elif top_p is not None:
            x, chosen = torch.sort(x, descending=True)
        probs = torch.softmax(x, -1)
        if top_p is not None:
            probs = torch.where(probs.cumsum(-1) - probs < top_p, probs, 0.0)
        if min_p is not None:
            probs = torch.where(probs >= min_p * probs.max(), probs, 0.0)
        return chosen, probs

    return call


def _drawing(i: Inputs, chain: Chain) -> Contestant:
    found = kept(chain, i)

    def call() -> int:
        chosen, probs = found()
        place = torch.multinomial(probs, 1)
        return int(place if chosen is None else chosen[place])

    return Contestant(one_thread(call), partial(_distribution, one_thread(found)))


def _distribution(found: Callable[[], tuple[Any, Any]]) -> Found:
    chosen, probs = found()
    alive = torch.nonzero(probs).ravel()
    probs = probs[alive] / probs.sum()
    return Found((alive if chosen is None else chosen[alive]).numpy(), probs.numpy())


PEER.ways.update(
    {name: partial(_drawing, chain=chain) for name, (chain, _) in DRAWN.items() if set(chain.keywords) <= set(CHAIN)}
)


@PEER.does("llama.cpp's chain")
def _llama(i: Inputs) -> Contestant:
    cuts = kept(Chain("", {**CHAIN, "temperature": 1.0, "top_k": 40}), i)

    def found() -> tuple[Any, Any]:
        chosen, probs = cuts()
        return chosen, torch.softmax(probs.log() / 0.8, -1)

    def call() -> int:
        chosen, probs = found()
        return int(chosen[torch.multinomial(probs, 1)])

    return Contestant(one_thread(call), partial(_distribution, one_thread(found)))


@PEER.does("top_n_sigma")
def _sigma(i: Inputs) -> Contestant:
    x = tensor(i.rows[0])

    def found() -> tuple[Any, Any]:
        logits = x.float()
        alive = logits >= logits.max() - logits.std(correction=0)
        return None, torch.softmax(torch.where(alive, logits, -torch.inf), -1)

    return Contestant(
        one_thread(lambda: int(torch.multinomial(found()[1], 1))), partial(_distribution, one_thread(found))
    )


@PEER.does(GUMBEL.name)
def _gumbel(i: Inputs) -> Contestant:
    found = kept(DRAWN["T"][0], i)

    def call() -> int:
        probs = found()[1]
        return int(torch.argmax(probs / torch.empty_like(probs).exponential_(1.0)))

    return Contestant(one_thread(call), partial(_distribution, one_thread(found)))


@PEER.does("filter_logits")
def _filter_logits(i: Inputs) -> Contestant:
    found, x = kept(SAMPLERS["chain"], i), tensor(i.rows[0])

    def call() -> Any:
        chosen, probs = found()
        chosen = chosen[probs > 0]
        logits = torch.full(x.shape, -torch.inf)
        logits[chosen] = x[chosen].float() / CHAIN["temperature"]
        return logits

    return _values(call)


# ---- scores --------------------------------------------------------------------------------------------------------


@PEER.does("token_logprobs, rank")
def _ranked(i: Inputs) -> Contestant:
    x, targets = tensor(i.rows), torch.from_numpy(i.targets)[:, None]

    def call() -> Any:
        wide = x.float()
        scores = torch.log_softmax(wide, -1).gather(-1, targets)
        return (wide > wide.gather(-1, targets)).sum(-1) + 1, scores

    return both(one_thread(call))


@PEER.does(f"token_logprobs, top {TOP_N}")
def _best(i: Inputs) -> Contestant:
    x, target = tensor(i.rows[0]), int(i.targets[0])

    def call() -> Any:
        scores = torch.log_softmax(x.float(), -1)
        top, chosen = torch.topk(scores, TOP_N)
        return chosen, torch.cat([scores[target : target + 1], top])

    return both(one_thread(call))


@PEER.does("kl_divergence")
def _kl(i: Inputs) -> Contestant:
    p, q = tensor(i.rows), tensor(i.others)

    def call() -> Any:
        log_p, log_q = (torch.log_softmax(x.float(), -1) for x in (p, q))
        return torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="batchmean")

    return _values(call)
