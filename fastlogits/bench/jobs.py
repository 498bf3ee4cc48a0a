"""The registry: what is compared, how fastlogits does it, what the exact result is, and what counts as the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

import fastlogits as fl
from fastlogits import reference
from fastlogits.bench.checks import Check, Distribution, Found, Values, Verdict
from fastlogits.bench.rows import DTYPES, Inputs
from fastlogits.bench.timing import Call

CHAIN: dict[str, Any] = {"temperature": 0.8, "top_k": 50, "top_p": 0.95, "min_p": 0.05}
PENALTIES = {"repetition_penalty": 1.1, "frequency_penalty": 0.1, "presence_penalty": 0.1}
TOP_N = 20


@dataclass(frozen=True)
class Contestant:
    """A call that does the work, and what it finds, taken from the same objects once before anything is timed."""

    call: Call
    result: Callable[[], Found]


@dataclass(frozen=True)
class Job:
    """One work on a row.

    Attributes
    ----------
    name : str
        By which peers say that they do it.
    says : str
        For readers of tables, in Markdown.
    ours : callable
        Inputs -> Contestant.
    exact : callable
        Inputs of one row -> Found, in float64.
    check : Values or Distribution
        What counts as the same result.
    dtype : str, optional
        The type of its row where that is the point of the job.
    keeps : bool, default False
        Whether values are in the row's type: their ulp are that type's, else those of float32.
    """

    name: str
    says: str
    ours: Callable[[Inputs], Contestant]
    exact: Callable[[Inputs], Found]
    check: Check
    dtype: str | None = None
    keeps: bool = False

    def verdict(self, contestant: Contestant, i: Inputs, exact: Found | None = None) -> Verdict:
        """Whether a contestant finds the right thing on one row, `exact` if that is known."""
        dtype = str(i.x.dtype) if self.keeps else "float32"
        return self.check(contestant.result(), self.exact(i) if exact is None else exact, dtype)


def values(call: Call) -> Contestant:
    """A call that returns values."""
    return Contestant(call, lambda: Found(None, np.asarray(call())))


def ids(call: Call) -> Contestant:
    """A call that returns an id or ids."""
    return Contestant(call, lambda: Found(np.atleast_1d(np.asarray(call(), np.int64)), None))


def both(call: Call) -> Contestant:
    """A call that returns (ids, values)."""

    def result() -> Found:
        found: Any = call()
        return Found(np.ravel(np.asarray(found[0], np.int64)), np.ravel(np.asarray(found[1])))

    return Contestant(call, result)


def wide(i: Inputs) -> Any:
    """The first row in float64."""
    return i.rows[0].astype(np.float64)


# ---- array functions -----------------------------------------------------------------------------------------------


def _filled(name: str, atol: float = 0.0, dtype: str | None = None) -> Job:
    """Of `name`, softmax or log_softmax, into an array; log-probs are always float32."""
    ours, exact, keeps = getattr(fl, name), getattr(reference, name), name == "softmax"
    return Job(
        f"{name}, {dtype}" if dtype else name,
        f"`{name}` of {dtype}" if dtype else f"`{name}` into an array",
        lambda i: values(partial(ours, i.x, out=i.out if keeps else i.singles)),
        lambda i: Found(None, exact(wide(i))),
        Values(atol=atol),
        dtype,
        keeps,
    )


def _top_k(k: int) -> Job:
    def ours(i: Inputs) -> Contestant:
        def result() -> Found:
            found = fl.top_k(i.x, k)
            return Found(found.indices.ravel(), found.values.ravel())

        return Contestant(partial(fl.top_k, i.x, k), result)

    def exact(i: Inputs) -> Found:
        found = reference.top_k(wide(i), k)
        return Found(found.indices, found.values)

    return Job(f"top_k {k}", f"`top_k`, {k:,} values", ours, exact, Values(), keeps=True)


def _logsumexp(i: Inputs) -> Contestant:
    return values(partial(fl.logsumexp, i.x))


def _argmax(i: Inputs) -> Contestant:
    return ids(partial(fl.argmax, i.x))


ARRAYS = [
    Job("argmax", "`argmax`", _argmax, lambda i: Found(np.atleast_1d(reference.argmax(wide(i))), None), Values()),
    _top_k(40),
    _top_k(1000),
    Job("logsumexp", "`logsumexp`", _logsumexp, lambda i: Found(None, reference.logsumexp(wide(i))), Values()),
    _filled("softmax"),
    _filled("log_softmax", atol=1e-5),
]
HALVES = [_filled("softmax", dtype=dtype) for dtype in DTYPES if dtype != "float32"]


# ---- pipelines -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """Keywords of a pipeline; `edits` are penalties over 512 ids, some with 100 biases; `masked` adds a packed mask."""

    name: str
    keywords: dict[str, Any] = field(default_factory=dict)
    edits: str = ""
    masked: bool = False

    def penalties(self) -> dict[str, float]:
        """Those among the edits."""
        return {"": {}, "repetition": {"repetition_penalty": 1.1}, "all": PENALTIES}[self.edits]

    def steering(self, i: Inputs) -> dict[str, Any]:
        """All keywords for these inputs."""
        biased = {"logit_bias": i.bias} if self.edits == "all" else {}
        return {**self.penalties(), **biased, **({"mask": i.mask} if self.masked else {}), **self.keywords}

    def inputs(self, i: Inputs) -> dict[str, Any]:
        """The inputs of a call next to the logits."""
        return {"context": i.context} if self.edits else {}

    def sampler(self, i: Inputs) -> fl.Sampler:
        """The pipeline, prepared."""
        return fl.Sampler(**self.steering(i))


SAMPLERS = {
    chain.name: chain
    for chain in [
        Chain("chain", CHAIN),
        Chain("edits, chain", CHAIN, edits="all"),
        Chain("edits, T, top_p", {"temperature": 0.8, "top_p": 0.95}, edits="all"),
        Chain("T, min_p", {"temperature": 0.8, "min_p": 0.05}),
        Chain("mask, chain", CHAIN, masked=True),
        Chain("edits, mask, T, top_p", {"temperature": 0.8, "top_p": 0.95}, edits="all", masked=True),
    ]
}


def drawing(chain: Chain, says: str, draw: str = "cdf") -> Job:
    """A token drawn by a Sampler that was prepared once; compared is what it is drawn from."""

    def ours(i: Inputs) -> Contestant:
        given = chain.inputs(i)
        sampler = fl.Sampler(**chain.steering(i), draw=draw)

        def result() -> Found:
            row = i.rows[0].astype(np.float32)
            kept = sampler.candidates(row, **given).ids
            return Found(kept, sampler.probs(row, **given)[kept])

        return Contestant(partial(sampler.sample, i.x, rng=7, **given), result)

    return Job(chain.name, says, ours, partial(_survivors, chain), Distribution())


def _survivors(chain: Chain, i: Inputs) -> Found:
    """Ids and probabilities in float64."""
    exact = reference.candidates(i.rows[:1].astype(np.float64), plan=chain.sampler(i).steps, **chain.inputs(i))
    return Found(exact.ids, np.exp(exact.logprobs))


LLAMA: dict[str, Any] = {"preset": "llama.cpp", "top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8}
DRAWN = {
    chain.name: (chain, says)
    for chain, says in [
        (SAMPLERS["chain"], "temperature, top-k 50, top-p 0.95, min-p 0.05, draw"),
        (Chain("repetition, chain", CHAIN, edits="repetition"), "… behind a repetition penalty over 512 tokens"),
        (SAMPLERS["edits, chain"], "… behind three penalties and 100 biases"),
        (Chain("llama.cpp's chain", LLAMA), "llama.cpp's chain: top-k 40, top-p, min-p, temperature, draw"),
        (Chain("T", {"temperature": 0.8}), "temperature, draw from all tokens"),
        (Chain("T, top_p", {"temperature": 0.8, "top_p": 0.95}), "temperature, top-p 0.95, draw"),
        (SAMPLERS["T, min_p"], "temperature, min-p 0.05, draw"),
        (Chain("typical_p", {"typical_p": 0.95}), "typical-p 0.95, draw"),
        (Chain("eta_cutoff", {"eta_cutoff": 3e-4}), "eta cutoff 0.0003, draw"),
        (Chain("top_n_sigma", {"top_n_sigma": 1.0}), "top-n-sigma 1, draw"),
    ]
}
GUMBEL = drawing(Chain("gumbel: T", {"temperature": 0.8}), "temperature, draw by Gumbel-max", "gumbel")


def _dense(end: str, says: str, check: Check) -> Job:
    """The chain's processed logits or probabilities as an array."""
    twin = getattr(reference, end)
    return Job(
        end,
        says,
        lambda i: values(partial(getattr(fl, end), i.x, out=i.out, **CHAIN)),
        lambda i: Found(None, twin(wide(i), **CHAIN)),
        check,
        keeps=True,
    )


DENSE = [_dense("filter_logits", "processed logits behind temperature, top-k, top-p, min-p", Values())]


# ---- scores --------------------------------------------------------------------------------------------------------


def _ranked(i: Inputs) -> Contestant:
    def result() -> Found:
        found = fl.token_logprobs(i.rows, i.targets, rank=True)
        return Found(found.ranks, found.logprobs)

    return Contestant(partial(fl.token_logprobs, i.rows, i.targets, rank=True), result)


def _exactly_ranked(i: Inputs) -> Found:
    found = reference.token_logprobs(i.rows[:1].astype(np.float64), i.targets[:1], rank=True)
    return Found(found.ranks, found.logprobs)


def _best(i: Inputs) -> Contestant:
    def result() -> Found:
        found = fl.token_logprobs(i.rows, i.targets, top_n=TOP_N)
        return Found(np.ravel(found.top_ids), np.r_[found.logprobs, np.ravel(found.top_logprobs)])

    return Contestant(partial(fl.token_logprobs, i.rows, i.targets, top_n=TOP_N), result)


def _exactly_best(i: Inputs) -> Found:
    found = reference.token_logprobs(i.rows[:1].astype(np.float64), i.targets[:1], top_n=TOP_N)
    return Found(np.ravel(found.top_ids), np.r_[found.logprobs, np.ravel(found.top_logprobs)])


SCORED = [
    Job("token_logprobs, rank", "log-prob and rank of a token", _ranked, _exactly_ranked, Values(atol=1e-5)),
    Job(f"token_logprobs, top {TOP_N}", f"log-probs of a token and of the {TOP_N} likeliest", _best, _exactly_best,
        Values(atol=1e-5)),
    Job("kl_divergence", "KL divergence of two rows", lambda i: values(partial(fl.kl_divergence, i.rows, i.others)),
        lambda i: Found(None, reference.kl_divergence(wide(i), i.others[0].astype(np.float64))), Values(1e-3, 1e-5)),
]  # fmt: skip

JOBS = {
    job.name: job for job in [*ARRAYS, *HALVES, *(drawing(*each) for each in DRAWN.values()), GUMBEL, *DENSE, *SCORED]
}
