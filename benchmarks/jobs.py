"""What is measured: each public function and each pipeline, with what people write in NumPy or SciPy instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

import numpy as np
from measure import Call, Case, Singles, matrix, placed, ulp
from numpy.typing import NDArray
from scipy import special

import fastlogits as fl
from fastlogits import reference
from fastlogits.cli import idioms

U = 0.5  # the peers' uniform number; fastlogits makes its own from the seed
CHAIN: dict[str, Any] = {"temperature": 0.8, "top_k": 50, "top_p": 0.95, "min_p": 0.05}
PENALTIES = {"repetition_penalty": 1.1, "frequency_penalty": 0.1, "presence_penalty": 0.1}


@dataclass
class Inputs:
    """Rows [vocab] or [batch, vocab] and what a call on them takes besides."""

    x: Singles
    out: Singles
    density: float = 0.5

    @classmethod
    def of(cls, case: Case) -> Inputs:
        """The rows of a case, off the cache line if it says so."""
        x = matrix(case.kind, case.vocab, case.batch)
        return cls(placed(x, case.offset) if case.offset else x, placed(np.zeros_like(x), case.offset))

    @property
    def rows(self) -> Singles:
        """The rows as a matrix."""
        return np.atleast_2d(self.x)

    @cached_property
    def context(self) -> NDArray[np.int64]:
        """512 ids per row, half of them likely tokens, as in a text, half any: [..., 512]."""
        rng = np.random.default_rng(1)
        likely = [rng.choice(idioms.largest(row, 2000), 256) for row in self.rows]
        any_ids = rng.integers(0, self.x.shape[-1], (len(self.rows), 256))
        return np.concatenate([likely, any_ids], axis=1).reshape(*self.x.shape[:-1], 512)

    @cached_property
    def bias(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """100 biases: (ids, values)."""
        rng = np.random.default_rng(2)
        return np.sort(rng.choice(self.x.shape[-1], 100, replace=False)), rng.normal(size=100)

    @cached_property
    def mask(self) -> NDArray[np.int32]:
        """Packed mask that allows `density` of the tokens and the 100 likeliest, [ceil(vocab / 32)].

        With the likeliest banned a peaky row turns flat, and the time would tell of that instead of the mask.
        """
        allowed = np.random.default_rng(3).random(-(-self.x.shape[-1] // 32) * 32) < self.density
        allowed[idioms.largest(self.rows[0], min(100, self.x.shape[-1]))] = True
        return np.packbits(allowed, bitorder="little").view(np.int32)


@dataclass(frozen=True)
class Job:
    """A call on given inputs, the calls it replaces, and its error.

    `error` gives the worst ulp against float64 on the first row, and how many ids differ from the reference's.
    """

    name: str
    ours: Callable[[Inputs], Call]
    peers: Mapping[str, Callable[[Inputs], Call]]
    error: Callable[[Inputs], tuple[float, int]]


# ---- array functions -----------------------------------------------------------------------------------------------


def numpy_softmax(x: Singles, out: Singles) -> Singles:
    """exp(x - max) / sum."""
    np.exp(np.subtract(x, x.max(-1, keepdims=True), out=out), out=out)
    out /= out.sum(-1, keepdims=True)
    return out


def numpy_log_softmax(x: Singles, out: Singles) -> Singles:
    """x - max - ln sum exp(x - max)."""
    np.subtract(x, x.max(-1, keepdims=True), out=out)
    out -= np.log(np.exp(out).sum(-1, keepdims=True))
    return out


def numpy_logsumexp(x: Singles) -> Any:
    """The maximum plus ln sum exp(x - max)."""
    top = x.max(-1)
    return top + np.log(np.exp(x - top[..., None]).sum(-1))


def numpy_top_k(x: Singles, k: int) -> list[Any]:
    """Values and ids of the k largest of each row."""
    ids = [idioms.largest(row, k) for row in np.atleast_2d(x)]
    return [(row[chosen], chosen) for row, chosen in zip(np.atleast_2d(x), ids, strict=True)]


def _filled(name: str, exact: Callable[[Any], Any], numpy: Callable[..., Any], scipy: Callable[..., Any]) -> Job:
    """softmax or log_softmax, into `out`."""
    function = getattr(fl, name)
    return Job(
        name,
        lambda i: partial(function, i.x, out=i.out),
        {"NumPy": lambda i: partial(numpy, i.x, i.out), "SciPy": lambda i: partial(scipy, i.x, axis=-1)},
        lambda i: (ulp(function(i.x, out=i.out).reshape(i.rows.shape)[0], exact(i.rows[0])), 0),
    )


def _top_k(k: int) -> Job:
    def error(i: Inputs) -> tuple[float, int]:
        values, ids = (each.reshape(-1, k)[0] for each in fl.top_k(i.x, k))
        exact = reference.top_k(i.rows[0], k)
        return ulp(values, exact.values), int(np.count_nonzero(ids != exact.indices))

    peers = {"NumPy": lambda i: partial(numpy_top_k, i.x, k)}
    return Job(f"top_k {k}", lambda i: partial(fl.top_k, i.x, k), peers, error)


ARRAYS = [
    _filled("softmax", reference.softmax, numpy_softmax, special.softmax),
    _filled("log_softmax", reference.log_softmax, numpy_log_softmax, special.log_softmax),
    Job(
        "logsumexp",
        lambda i: partial(fl.logsumexp, i.x),
        {"NumPy": lambda i: partial(numpy_logsumexp, i.x), "SciPy": lambda i: partial(special.logsumexp, i.x, axis=-1)},
        lambda i: (ulp(np.ravel(fl.logsumexp(i.x))[0], reference.logsumexp(i.rows[0])), 0),
    ),
    Job(
        "argmax",
        lambda i: partial(fl.argmax, i.x),
        {"NumPy": lambda i: partial(np.argmax, i.x, axis=-1)},
        lambda i: (0.0, int(np.ravel(fl.argmax(i.x))[0] != reference.argmax(i.rows[0]))),
    ),
    _top_k(40),
    _top_k(1000),
]


# ---- pipelines -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """Keywords of a pipeline; `edits` adds penalties over 512 ids and 100 biases, `masked` a packed mask."""

    name: str
    keywords: dict[str, Any] = field(default_factory=dict)
    edits: bool = False
    masked: bool = False

    def steering(self, i: Inputs) -> dict[str, Any]:
        """All keywords for these inputs."""
        edits = {**PENALTIES, "logit_bias": i.bias} if self.edits else {}
        return {**edits, **({"mask": i.mask} if self.masked else {}), **self.keywords}

    def inputs(self, i: Inputs) -> dict[str, Any]:
        """The inputs of a call beside the logits."""
        return {"context": i.context} if self.edits else {}

    def sampler(self, i: Inputs) -> fl.Sampler:
        """The pipeline, prepared."""
        return fl.Sampler(**self.steering(i))

    def numpy(self, i: Inputs) -> list[idioms.Drawn]:
        """What people write, row by row."""
        contexts = i.context.reshape(len(i.rows), -1) if self.edits else [None] * len(i.rows)
        return [self.numpy_row(i, row, context) for row, context in zip(i.rows, contexts, strict=True)]

    def numpy_row(self, i: Inputs, logits: Singles, context: Any) -> idioms.Drawn:
        """Edits, temperature, cuts and draw of one row [vocab]."""
        if self.edits:
            logits = idioms.penalise(logits, context, 0, *PENALTIES.values())
            logits[i.bias[0]] += i.bias[1].astype(np.float32)
        if self.masked:
            allowed = np.unpackbits(i.mask.view(np.uint8), bitorder="little", count=logits.size)
            logits = np.where(allowed.view(np.bool_), logits, np.float32(-np.inf))
        logits = logits / np.float32(self.keywords["temperature"])
        top_p, min_p = self.keywords.get("top_p", 1.0), self.keywords.get("min_p", 0.0)
        if "top_k" in self.keywords:
            ids = idioms.largest(logits, self.keywords["top_k"])
        elif "top_p" in self.keywords:
            ids = np.argsort(-logits, kind="stable")
        else:
            ids = np.flatnonzero(logits >= logits.max() + np.log(min_p))
            ids = ids[np.argsort(-logits[ids], kind="stable")]
        return idioms.cut_and_draw(logits, ids, top_p, min_p, U)

    def numpy_dense(self, i: Inputs, probs: bool) -> Singles:
        """Probabilities, or log-probs for want of the processed logits, of all tokens."""
        i.out.fill(0.0 if probs else -np.inf)
        for target, drawn in zip(np.atleast_2d(i.out), self.numpy(i), strict=True):
            target[drawn.ids] = drawn.probs if probs else np.log(drawn.probs)
        return i.out

    def error(self, i: Inputs) -> tuple[float, int]:
        """Of the log-probs of all survivors of the first row; the ids that one of the two sides lacks."""
        first = Inputs(i.rows[0], i.out, i.density)
        found = self.sampler(first).candidates(first.x, **self.inputs(first))
        exact = reference.candidates(first.rows, **self.steering(first), **self.inputs(first))
        _, ours, theirs = np.intersect1d(found.ids, exact.ids, return_indices=True)
        if len(ours) == len(found.ids) == len(exact.ids):
            return ulp(found.logprobs[ours], exact.logprobs[theirs]), 0
        # Another nucleus has another total: what is left to compare are the logits.
        return ulp(found.logits[ours], exact.logits[theirs]), len(np.setxor1d(found.ids, exact.ids))


def sampling(chain: Chain) -> Job:
    """Sampler.sample of a pipeline that was prepared once."""

    def ours(i: Inputs) -> Call:
        return partial(chain.sampler(i).sample, i.x, rng=7, **chain.inputs(i))

    return Job(chain.name, ours, {"NumPy": lambda i: partial(chain.numpy, i)}, chain.error)


SAMPLERS = {
    chain.name: chain
    for chain in [
        Chain("chain", CHAIN),
        Chain("edits, chain", CHAIN, edits=True),
        Chain("edits, T, top_p", {"temperature": 0.8, "top_p": 0.95}, edits=True),
        Chain("T, min_p", {"temperature": 0.8, "min_p": 0.05}),
        Chain("mask, chain", CHAIN, masked=True),
        Chain("edits, mask, T, top_p", {"temperature": 0.8, "top_p": 0.95}, edits=True, masked=True),
    ]
}

_CHAIN = SAMPLERS["chain"]


def _dense_error(end: str) -> Callable[[Inputs], tuple[float, int]]:
    def error(i: Inputs) -> tuple[float, int]:
        got = getattr(fl, end)(i.rows[0], **CHAIN)
        exact = getattr(reference, end)(i.rows[0], **CHAIN)
        removed = -np.inf if end == "filter_logits" else 0.0
        differ = int(np.count_nonzero((got == removed) != (exact == removed)))
        return (ulp(got, exact) if not differ else float("inf")), differ

    return error


ENDS = [
    Job(
        "sample",
        lambda i: partial(fl.sample, i.x, rng=7, **CHAIN),
        {"NumPy": lambda i: partial(_CHAIN.numpy, i)},
        _CHAIN.error,
    ),
    Job(
        "probs",
        lambda i: partial(fl.probs, i.x, out=i.out, **CHAIN),
        {"NumPy": lambda i: partial(_CHAIN.numpy_dense, i, True)},
        _dense_error("probs"),
    ),
    Job(
        "filter_logits",
        lambda i: partial(fl.filter_logits, i.x, out=i.out, **CHAIN),
        {"NumPy": lambda i: partial(_CHAIN.numpy_dense, i, False)},
        _dense_error("filter_logits"),
    ),
    Job(
        "candidates",
        lambda i: partial(fl.candidates, i.x, **CHAIN),
        {"NumPy": lambda i: partial(_CHAIN.numpy, i)},
        _CHAIN.error,
    ),
]
