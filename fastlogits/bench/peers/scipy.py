"""SciPy: scipy.special, on float32."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from scipy import special

from fastlogits.bench import idioms
from fastlogits.bench.jobs import TOP_N, Contestant, both, values
from fastlogits.bench.peers import Peer
from fastlogits.bench.peers.numpy import single
from fastlogits.bench.rows import Inputs

PEER = Peer("scipy", ("scipy",))


@PEER.does("logsumexp")
def _logsumexp(i: Inputs) -> Contestant:
    return values(lambda: special.logsumexp(single(i.x), axis=-1))


@PEER.does("softmax", "softmax, float16", "softmax, bfloat16")
def _softmax(i: Inputs) -> Contestant:
    return values(lambda: special.softmax(single(i.x), axis=-1).astype(i.x.dtype, copy=False))


@PEER.does("log_softmax")
def _log_softmax(i: Inputs) -> Contestant:
    return values(lambda: special.log_softmax(single(i.x), axis=-1))


def ranked(i: Inputs) -> Any:
    """Ranks and log-probs of the targets, from the matrix of log-probs."""
    x, at = single(i.rows), np.arange(len(i.rows))
    scores = special.log_softmax(x, axis=-1)[at, i.targets]
    return (x > x[at, i.targets][:, None]).sum(-1) + 1, scores


def best(i: Inputs) -> Any:
    """Log-probs of the target and of the most likely tokens of the first row."""
    scores = special.log_softmax(single(i.rows[0]))
    chosen = idioms.largest(scores, TOP_N)
    return chosen, np.r_[scores[i.targets[0]], scores[chosen]]


@PEER.does("token_logprobs, rank")
def _ranked(i: Inputs) -> Contestant:
    return both(partial(ranked, i))


@PEER.does(f"token_logprobs, top {TOP_N}")
def _best(i: Inputs) -> Contestant:
    return both(partial(best, i))


@PEER.does("kl_divergence")
def _kl(i: Inputs) -> Contestant:
    def call() -> Any:
        p, q = (special.softmax(single(x), axis=-1) for x in (i.rows, i.others))
        return special.rel_entr(p, q).sum(-1)

    return values(call)
