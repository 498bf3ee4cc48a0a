"""NumPy: the idioms that people write. They take batches [B, V], too."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from fastlogits.bench import idioms
from fastlogits.bench.checks import Found
from fastlogits.bench.jobs import CHAIN, DRAWN, GUMBEL, SAMPLERS, TOP_N, Chain, Contestant, both, ids, values
from fastlogits.bench.peers import Peer
from fastlogits.bench.rows import Inputs, Singles

PEER = Peer("numpy", ("numpy",))
U = 0.5  # the uniform number drawn


def single(x: Any) -> Singles:
    """float32, which half types are turned into first."""
    return np.asarray(x, np.float32)


# ---- array functions -----------------------------------------------------------------------------------------------


def softmax(x: Any, out: Any) -> Any:
    """exp(x - max) / sum."""
    np.exp(np.subtract(x, x.max(-1, keepdims=True), out=out), out=out)
    out /= out.sum(-1, keepdims=True)
    return out


def log_softmax(x: Any, out: Any) -> Any:
    """The values minus max + ln sum exp(x - max)."""
    np.subtract(x, x.max(-1, keepdims=True), out=out)
    out -= np.log(np.exp(out).sum(-1, keepdims=True))
    return out


def logsumexp(x: Any) -> Any:
    """The maximum plus ln sum exp(x - max)."""
    x = single(x)
    top = x.max(-1)
    return top + np.log(np.exp(x - top[..., None]).sum(-1))


def top_k(x: Any, k: int) -> list[Any]:
    """Ids and values of the k largest of each row."""
    rows = single(np.atleast_2d(x))
    chosen = [idioms.largest(row, k) for row in rows]
    return [(each, row[each]) for row, each in zip(rows, chosen, strict=True)]


def filled(i: Inputs) -> Any:
    """Softmax into `out`, by way of float32 for half types."""
    if i.x.dtype == np.float32:
        return softmax(i.x, i.out)
    wide = single(i.x)
    i.out[...] = softmax(wide, wide)
    return i.out


@PEER.does("argmax")
def _argmax(i: Inputs) -> Contestant:
    return ids(partial(np.argmax, i.x, axis=-1))


@PEER.does("logsumexp")
def _logsumexp(i: Inputs) -> Contestant:
    return values(partial(logsumexp, i.x))


@PEER.does("softmax", "softmax, float16", "softmax, bfloat16")
def _softmax(i: Inputs) -> Contestant:
    return values(partial(filled, i))


@PEER.does("log_softmax")
def _log_softmax(i: Inputs) -> Contestant:
    return values(lambda: log_softmax(single(i.x), i.singles))


def _first(i: Inputs, k: int) -> Contestant:
    call = partial(top_k, i.x, k)
    return Contestant(call, lambda: Found(*call()[0]))


PEER.ways.update({f"top_k {k}": partial(_first, k=k) for k in (40, 1000)})


# ---- pipelines -----------------------------------------------------------------------------------------------------


def drawn(chain: Chain, i: Inputs) -> list[idioms.Drawn]:
    """A chain, row by row."""
    contexts = i.context.reshape(len(i.rows), -1) if chain.edits else [None] * len(i.rows)
    return [drawn_row(chain, i, row, context) for row, context in zip(i.rows, contexts, strict=True)]


def drawn_row(chain: Chain, i: Inputs, x: Any, context: Any) -> idioms.Drawn:
    """Edits, temperature, cuts and draw of one row [vocab]."""
    logits = single(x)
    if chain.edits:
        repetition, frequency, presence = (*chain.penalties().values(), 0.0, 0.0)[:3]
        logits = idioms.penalise(logits, context, 0, repetition, frequency, presence)
    if chain.edits == "all":
        logits[i.bias[0]] += i.bias[1].astype(np.float32)
    if chain.masked:
        allowed = np.unpackbits(i.mask.view(np.uint8), bitorder="little", count=logits.size)
        logits = np.where(allowed.view(np.bool_), logits, np.float32(-np.inf))
    logits = logits / np.float32(chain.keywords["temperature"])
    top_p, min_p = chain.keywords.get("top_p", 1.0), chain.keywords.get("min_p", 0.0)
    if "top_k" in chain.keywords:
        kept = idioms.largest(logits, chain.keywords["top_k"])
    elif "top_p" in chain.keywords:
        kept = np.argsort(-logits)
    elif min_p:
        kept = np.flatnonzero(logits >= logits.max() + np.log(min_p))
        kept = kept[np.argsort(-logits[kept])]
    else:
        probs = softmax(logits, logits)
        return idioms.Drawn(np.arange(probs.size), probs, idioms.draw(probs, U))
    return idioms.cut_and_draw(logits, kept, top_p, min_p, U)


def llama(x: Any) -> idioms.Drawn:
    """top-k, top-p and min-p, then the temperature on what is left, and the draw."""
    logits = single(x)
    kept = idioms.cut_and_draw(logits, idioms.largest(logits, 40), 0.95, 0.05, U).ids
    probs = np.exp((logits[kept] - logits[kept[0]]) / np.float32(0.8))
    probs /= probs.sum()
    return idioms.Drawn(kept, probs, int(kept[idioms.draw(probs, U)]))


def sigma(x: Any) -> idioms.Drawn:
    """Tokens within one standard deviation of the maximum, and the draw."""
    logits = single(x)
    kept = np.flatnonzero(logits >= logits.max() - logits.std())
    probs = np.exp(logits[kept] - logits.max())
    probs /= probs.sum()
    return idioms.Drawn(kept, probs, int(kept[idioms.draw(probs, U)]))


def gumbel(i: Inputs) -> Any:
    """The largest logit + noise of every token."""
    noise = np.random.default_rng(7).gumbel(size=i.rows.shape)
    return (single(i.rows) / np.float32(0.8) + noise).argmax(-1)


def dense(chain: Chain, i: Inputs, probs: bool) -> Any:
    """Probabilities, or processed logits without edits, of all tokens."""
    i.out.fill(0.0 if probs else -np.inf)
    temperature = np.float32(chain.keywords["temperature"])
    for x, target, found in zip(i.rows, np.atleast_2d(i.out), drawn(chain, i), strict=True):
        target[found.ids] = found.probs if probs else x[found.ids] / temperature
    return i.out


def _drawing(i: Inputs, way: Any) -> Contestant:
    """Ids and probabilities of the tokens drawn from."""

    def result() -> Found:
        found = way(i)
        found = found[0] if isinstance(found, list) else found
        return Found(found.ids, found.probs)

    return Contestant(partial(way, i), result)


def _gumbel(i: Inputs) -> Contestant:
    chain = DRAWN["T"][0]
    return Contestant(partial(gumbel, i), lambda: Found(*drawn(chain, i)[0][:2]))


PEER.ways.update(
    {
        name: partial(_drawing, way=partial(drawn, chain))
        for name, (chain, _) in DRAWN.items()
        if set(chain.keywords) <= set(CHAIN)
    }
)
PEER.ways.update(
    {
        "llama.cpp's chain": partial(_drawing, way=lambda i: llama(i.x)),
        "top_n_sigma": partial(_drawing, way=lambda i: sigma(i.x)),
        GUMBEL.name: _gumbel,
    }
)


@PEER.does("filter_logits")
def _filter_logits(i: Inputs) -> Contestant:
    return values(partial(dense, SAMPLERS["chain"], i, probs=False))


# ---- scores --------------------------------------------------------------------------------------------------------


def ranked(i: Inputs) -> Any:
    """Ranks and log-probs of the targets, from the matrix of log-probs."""
    x, at = single(i.rows), np.arange(len(i.rows))
    scores = log_softmax(x, np.empty_like(x))[at, i.targets]
    return (x > x[at, i.targets][:, None]).sum(-1) + 1, scores


def best(i: Inputs) -> Any:
    """Log-probs of the target and of the most likely tokens of the first row."""
    x = single(i.rows[0])
    scores = log_softmax(x, np.empty_like(x))
    chosen = idioms.largest(scores, TOP_N)
    return chosen, np.r_[scores[i.targets[0]], scores[chosen]]


def kl(p: Any, q: Any) -> Any:
    """KL divergence by two matrices of log-probs."""
    log_p, log_q = (log_softmax(single(x), np.empty(x.shape, np.float32)) for x in (p, q))
    return (np.exp(log_p) * (log_p - log_q)).sum(-1)


@PEER.does("token_logprobs, rank")
def _ranked(i: Inputs) -> Contestant:
    return both(partial(ranked, i))


@PEER.does(f"token_logprobs, top {TOP_N}")
def _best(i: Inputs) -> Contestant:
    return both(partial(best, i))


@PEER.does("kl_divergence")
def _kl(i: Inputs) -> Contestant:
    return values(partial(kl, i.rows, i.others))
