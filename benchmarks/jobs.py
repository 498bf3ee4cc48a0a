"""What is measured: each public function and each pipeline, with what people write in NumPy or SciPy instead.

What `fastlogits bench` compares comes from its registry; jobs that no other library has are added here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from measure import Call, Case, Singles, matrix, placed, ulp
from numpy.typing import NDArray

import fastlogits as fl
import fastlogits._core as _core
from fastlogits import reference
from fastlogits.bench import jobs, rows
from fastlogits.bench.jobs import CHAIN, SAMPLERS, Chain
from fastlogits.bench.peers import numpy as numpy_peer
from fastlogits.bench.peers import scipy as scipy_peer
from fastlogits.bench.peers.numpy import U, drawn
from fastlogits.bench.peers.numpy import dense as numpy_dense
from fastlogits.bench.peers.numpy import gumbel as numpy_gumbel
from fastlogits.bench.peers.numpy import llama as numpy_llama
from fastlogits.bench.peers.numpy import log_softmax as numpy_log_softmax
from fastlogits.bench.peers.numpy import softmax as numpy_softmax

PEERS = {"NumPy": numpy_peer.PEER, "SciPy": scipy_peer.PEER}


class Inputs(rows.Inputs):
    """Rows [vocab] or [batch, vocab] and what a call on them takes besides, completions included."""

    @classmethod
    def of(cls, case: Case) -> Inputs:
        """The rows of a case, off the cache line if it says so."""
        x = matrix(case.kind, case.vocab, case.batch)
        return cls(placed(x, case.offset) if case.offset else x, placed(np.zeros_like(x), case.offset))

    @cached_property
    def completions(self) -> list[list[int]]:
        """Four completions of a prompt, two of which begin alike."""
        ids = np.random.default_rng(5).integers(0, self.x.shape[-1], 5).tolist()
        return [ids[:1], [ids[1], ids[2]], [ids[1], ids[3]], [ids[4]]]

    @cached_property
    def tree(self) -> Singles:
        """A row for each distinct prefix of `completions`, [2, vocab]."""
        return np.ascontiguousarray(np.resize(self.rows, (2, self.x.shape[-1])))


@dataclass(frozen=True)
class Job:
    """A call on given inputs, the calls it replaces, and its error.

    `error` gives the worst ulp against float64 on the first row, and how many ids differ from the reference's.
    """

    name: str
    ours: Callable[[Inputs], Call]
    peers: Mapping[str, Callable[[Inputs], Call]]
    error: Callable[[Inputs], tuple[float, int]]


def of_registry(job: jobs.Job) -> Job:
    """A job of the registry beside NumPy and SciPy; an id more or fewer counts."""

    def error(i: Inputs) -> tuple[float, int]:
        first = Inputs(i.rows[0], np.zeros_like(i.rows[0]), i.density)
        said = job.verdict(job.ours(first), first)
        return said.ulp or 0.0, int(not said.same or bool(said.note))

    def call(way: Callable[[rows.Inputs], jobs.Contestant]) -> Callable[[Inputs], Call]:
        return lambda i: way(i).call

    peers = {name: call(peer.ways[job.name]) for name, peer in PEERS.items() if job.name in peer.ways}
    return Job(job.name, call(job.ours), peers, error)


ARRAYS = [*map(of_registry, jobs.ARRAYS)]


# ---- pipelines -----------------------------------------------------------------------------------------------------


def sampling(chain: Chain) -> Job:
    """Sampler.sample of a pipeline that was prepared once."""
    found = of_registry(jobs.drawing(chain, ""))
    return Job(chain.name, found.ours, {"NumPy": lambda i: partial(drawn, chain, i)}, found.error)


RECORD = np.dtype([("id", "<i4"), ("logit", "<f4"), ("p", "<f4")])


def llama_rows(i: Inputs, records: bool) -> Singles:
    """The rows, or the field of logits in llama.cpp's records that hold the same values."""
    if not records:
        return i.x
    data = np.zeros(i.x.shape, RECORD)
    data["logit"] = i.x
    return data["logit"]


def _llama(name: str, records: bool) -> Job:
    """llama.cpp's default chain with its default parameters."""
    sampler = fl.Sampler(**{**jobs.LLAMA, "repetition_penalty": 1.0, "penalty_window": 64, "typical_p": 1.0,
                            "xtc_probability": 0.0})  # fmt: skip

    def error(i: Inputs) -> tuple[float, int]:
        x = np.atleast_2d(llama_rows(i, records))[0]
        found, exact = sampler.candidates(x), reference.candidates(x, plan=sampler.steps)
        if not np.array_equal(found.ids, exact.ids):
            return float("inf"), len(np.setxor1d(found.ids, exact.ids))
        return ulp(found.logprobs, exact.logprobs), 0

    def ours(i: Inputs) -> Call:
        return partial(sampler.sample, llama_rows(i, records), context=i.context[..., :64].copy(), rng=7)

    def numpy(i: Inputs) -> Call:
        x = np.atleast_2d(llama_rows(i, records))
        return lambda: [numpy_llama(each) for each in x]

    return Job(name, ours, {"NumPy": numpy}, error)


LLAMA_CHAINS = [_llama("llama.cpp's chain", False), _llama("llama.cpp's chain on records", True)]

_CHAIN = SAMPLERS["chain"]


def _dense_error(end: str) -> Callable[[Inputs], tuple[float, int]]:
    def error(i: Inputs) -> tuple[float, int]:
        got = getattr(fl, end)(i.rows[0], **CHAIN)
        exact = getattr(reference, end)(i.rows[0], **CHAIN)
        removed = -np.inf if end == "filter_logits" else 0.0
        differ = int(np.count_nonzero((got == removed) != (exact == removed)))
        return (ulp(got, exact) if not differ else float("inf")), differ

    return error


def _gumbel(name: str, **keywords: Any) -> Job:
    def error(i: Inputs) -> tuple[float, int]:
        first, call = i.rows[0, :2000], {"rng": 7, "temperature": 0.8}
        return 0.0, int(fl.gumbel_max(first, **call).ids != reference.gumbel_max(first, **call).ids)

    sampler = fl.Sampler(**keywords)
    return Job(
        name, lambda i: partial(sampler.sample, i.x, rng=7), {"NumPy": lambda i: partial(numpy_gumbel, i)}, error
    )


ENDS = [
    _gumbel("gumbel: T", temperature=0.8, draw="gumbel"),
    _gumbel("gumbel: chain", draw="gumbel", **CHAIN),
    Job(
        "gumbel_max",
        lambda i: partial(fl.gumbel_max, i.x, rng=7, n=10),
        {"NumPy": lambda i: partial(numpy_gumbel, i)},
        lambda i: (
            0.0,
            int(
                np.count_nonzero(
                    fl.gumbel_max(i.rows[0, :2000], n=10, rng=7).ids
                    != reference.gumbel_max(i.rows[0, :2000], n=10, rng=7).ids
                )
            ),
        ),
    ),
    Job(
        "sample",
        lambda i: partial(fl.sample, i.x, rng=7, **CHAIN),
        {"NumPy": lambda i: partial(drawn, _CHAIN, i)},
        sampling(_CHAIN).error,
    ),
    Job(
        "probs",
        lambda i: partial(fl.probs, i.x, out=i.out, **CHAIN),
        {"NumPy": lambda i: partial(numpy_dense, _CHAIN, i, True)},
        _dense_error("probs"),
    ),
    Job(
        "filter_logits",
        lambda i: partial(fl.filter_logits, i.x, out=i.out, **CHAIN),
        {"NumPy": lambda i: partial(numpy_dense, _CHAIN, i, False)},
        _dense_error("filter_logits"),
    ),
    Job(
        "candidates",
        lambda i: partial(fl.candidates, i.x, **CHAIN),
        {"NumPy": lambda i: partial(drawn, _CHAIN, i)},
        sampling(_CHAIN).error,
    ),
]


# ---- decoding ahead ------------------------------------------------------------------------------------------------


def drafted(i: Inputs, steering: Mapping[str, Any]) -> dict[str, Any]:
    """Nine target rows, eight rows of a draft model like it, and eight tokens drawn from these."""
    target = np.ascontiguousarray(np.broadcast_to(i.rows[0], (9, i.x.shape[-1])))
    noise = np.random.default_rng(8).standard_normal(target[:8].shape, np.float32)
    draft = target[:8] + np.float32(0.1) * noise
    ids = fl.sample(draft, rng=7, keys=0, position=np.arange(8), **steering)
    return {"target_logits": target, "draft_ids": ids, "draft_logits": draft, "rng": 7, "keys": 0, "position": 0}


def numpy_verify(operands: Mapping[str, Any]) -> list[bool]:
    """Two matrices of probabilities, and the ratios at the tokens."""
    p, q = (numpy_softmax(x, np.empty_like(x)) for x in (operands["target_logits"], operands["draft_logits"]))
    at = (np.arange(8), operands["draft_ids"])
    return list(p[at] / q[at] >= U)


def _verify(name: str, **steering: Any) -> Job:
    def ours(i: Inputs) -> Call:
        return partial(fl.Sampler(**steering).verify, **drafted(i, steering))

    def error(i: Inputs) -> tuple[float, int]:
        few = Inputs(i.rows[:1, :2000], i.out)
        operands = drafted(few, steering)
        found, right = (f(**operands, **steering) for f in (fl.verify, reference.verify))
        return 0.0, int(np.count_nonzero(found.ids != right.ids))

    return Job(name, ours, {"NumPy": lambda i: partial(numpy_verify, drafted(i, steering))}, error)


def numpy_beams(i: Inputs) -> Any:
    """The matrix of scores, and its best."""
    scores = numpy_log_softmax(i.rows, np.empty_like(i.rows)).ravel()
    return np.argpartition(-scores, min(2 * len(i.rows), scores.size - 1))


def _diverse(i: Inputs) -> dict[str, Any]:
    """Each beam a group."""
    return {"num_beam_groups": len(i.rows), "diversity_penalty": 0.5}


def _beams_error(i: Inputs, **ranking: Any) -> tuple[float, int]:
    running = np.zeros(len(i.rows))
    found, right = (f(i.rows, running, **ranking) for f in (fl.beam_step, reference.beam_step))
    return ulp(found.scores, right.scores), int(np.count_nonzero(found.ids != right.ids))


AHEAD = [
    _verify("verify 8, chain", **CHAIN),
    _verify("verify 8, T", temperature=0.8),
    Job("beam_step", lambda i: partial(fl.beam_step, i.rows, np.zeros(len(i.rows))),
        {"NumPy": lambda i: partial(numpy_beams, i)}, _beams_error),
    Job("beam_step, diverse", lambda i: partial(fl.beam_step, i.rows, np.zeros(len(i.rows)), **_diverse(i)),
        {"NumPy": lambda i: partial(numpy_beams, i)}, lambda i: _beams_error(i, **_diverse(i))),
]  # fmt: skip


# ---- calibration and completions -----------------------------------------------------------------------------------


def numpy_probs(i: Inputs) -> Singles:
    """The matrix of probabilities that people make first."""
    return numpy_softmax(i.rows, np.empty_like(i.rows))


def numpy_temperatures(i: Inputs) -> list[float]:
    """Mean loss at eight temperatures, one log-softmax each."""
    rows, losses = i.rows, []
    for k in range(1, 9):
        scores = numpy_log_softmax(rows * np.float32(k / 4), np.empty_like(rows))
        losses.append(-float(scores[np.arange(len(rows)), i.targets].mean()))
    return losses


def read_temperatures(i: Inputs) -> _core.TemperaturesTask:
    """One step of fit_temperature: eight temperatures in one read."""
    task = _core.TemperaturesTask(i.rows, 0.25, 1, _core.TEMPERATURES, i.targets)
    task.run(0, len(i.rows))
    return task


def _temperatures_error(i: Inputs) -> tuple[float, int]:
    """Of log-sum-exp at eight temperatures, counted from the top."""
    task, x = read_temperatures(i), i.rows.astype(np.float64)
    exact = [reference.logsumexp(x * k / 4) - x.max(-1) * k / 4 for k in range(1, 9)]
    return ulp(task.tails.T, exact), int(np.count_nonzero(task.ids != x.argmax(-1)))


def _figure(name: str, numpy: Callable[[Inputs], Any]) -> Job:
    """A figure of calibration from logits, with what people write in NumPy."""
    ours, twin = getattr(fl, name), getattr(reference, name)

    def error(i: Inputs) -> tuple[float, int]:
        got, right = (np.ravel(f(i.rows, i.targets, from_logits=True)) for f in (ours, twin))
        return float(np.nanmax(np.abs(got - right)) / 2**-23), 0

    return Job(name, lambda i: partial(ours, i.rows, i.targets, from_logits=True), {"NumPy": numpy}, error)


def _fitted(i: Inputs) -> tuple[float, int]:
    found = fl.fit_temperature(i.rows, i.targets, bounds=(0.1, 10)).nll_after
    return ulp(found, reference.fit_temperature(i.rows, i.targets, bounds=(0.1, 10)).nll_after), 0


def _scaled(i: Inputs) -> tuple[float, int]:
    few = i.rows[:, :8]
    found, right = (f(few, i.targets % 8, ridge=0.1) for f in (fl.fit_scaling, reference.fit_scaling))
    return ulp(found.nll_after, right.nll_after), 0


def numpy_completions(i: Inputs) -> list[float]:
    """Sum of log-probs by a log-softmax of every row of every completion."""
    sums = []
    for tokens, prefixes in zip(i.completions, fl.completion_prefixes(i.completions).rows, strict=True):
        scores = numpy_log_softmax(i.tree[prefixes], np.empty((len(tokens), i.tree.shape[1]), np.float32))
        sums.append(float(scores[np.arange(len(tokens)), tokens].sum()))
    return sums


def _completions_error(i: Inputs) -> tuple[float, int]:
    found, right = (f(i.tree, i.completions).logprobs for f in (fl.score_completions, reference.score_completions))
    return ulp(found, right), int(found.argmax() != right.argmax())


def _prefixes_differ(i: Inputs) -> tuple[float, int]:
    """Prefixes that one of the two sides lacks."""
    found, right = fl.completion_prefixes(i.completions), reference.completion_prefixes(i.completions)
    return 0.0, len(set(found.prefixes) ^ set(right[0]))


def numpy_labels(i: Inputs) -> Singles:
    """Log of the labels' masses from a matrix of probabilities."""
    p = numpy_probs(i)
    return np.log(np.stack([p[:, ids].sum(-1) for ids in LABELS], axis=-1))


LABELS = ([1, 2, 3], [4, 5])

CALIBRATION = [
    Job("eight temperatures", lambda i: partial(read_temperatures, i),
        {"NumPy": lambda i: partial(numpy_temperatures, i)}, _temperatures_error),
    Job("fit_temperature", lambda i: partial(fl.fit_temperature, i.rows, i.targets, bounds=(0.1, 10)),
        {"NumPy": lambda i: partial(numpy_temperatures, i)}, _fitted),
    Job("fit_scaling", lambda i: partial(fl.fit_scaling, i.rows[:, :8], i.targets % 8, ridge=0.1),
        {"NumPy": lambda i: partial(reference.fit_scaling, i.rows[:, :8], i.targets % 8, ridge=0.1)}, _scaled),
    *(_figure(name, lambda i: partial(numpy_probs, i))
      for name in ("calibration_error", "reliability_curve", "brier_score", "negative_log_likelihood")),
    Job("score_completions", lambda i: partial(fl.score_completions, i.tree, i.completions),
        {"NumPy": lambda i: partial(numpy_completions, i)}, _completions_error),
    Job("completion_prefixes", lambda i: partial(fl.completion_prefixes, i.completions),
        {"NumPy": lambda i: partial(reference.completion_prefixes, i.completions)}, _prefixes_differ),
    Job("label_logprobs", lambda i: partial(fl.label_logprobs, i.rows, LABELS),
        {"NumPy": lambda i: partial(numpy_labels, i)},
        lambda i: (ulp(fl.label_logprobs(i.rows, LABELS), reference.label_logprobs(i.rows, LABELS)), 0)),
]  # fmt: skip


# ---- scoring -------------------------------------------------------------------------------------------------------


def numpy_token_logprobs(i: Inputs) -> Singles:
    """The matrix of log-probs, and the targets' picked from it."""
    scores: Singles = numpy_log_softmax(i.rows, np.empty_like(i.rows))[np.arange(len(i.rows)), i.targets]
    return scores


def _scored(i: Inputs) -> tuple[float, int]:
    wanted: dict[str, Any] = {**SCORES, "argmax": True}
    found, right = (f(i.rows, i.targets, **wanted) for f in (fl.token_logprobs, reference.token_logprobs))
    differ = sum(np.count_nonzero(getattr(found, name) != getattr(right, name)) for name in ("ranks", "argmax"))
    return ulp(found.logprobs, right.logprobs), int(differ)


SCORES: dict[str, Any] = {"top_n": 20, "rank": True, "entropy": True, "varentropy": True}
SCORING = [
    Job(name, lambda i, wanted=wanted: partial(fl.token_logprobs, i.rows, i.targets, **wanted),
        {"NumPy": lambda i: partial(numpy_token_logprobs, i)}, _scored)
    for name, wanted in (("token_logprobs", {}), ("token_logprobs with all", SCORES))
]  # fmt: skip


# ---- vocabulary shards ---------------------------------------------------------------------------------------------


def in_shards(i: Inputs, rounds: int) -> fl.TokenLogprobs:
    """Scores by four shards cut at blocks: two rounds, with equal bits, or one."""
    n = i.x.shape[-1]
    edges = [0, *(edge for edge in (n * k // 1024 * 256 for k in (1, 2, 3)) if edge), n]
    shards = [(a, i.rows[:, a:b]) for a, b in itertools.pairwise(edges) if b > a]
    peaks = None
    if rounds == 2:
        peaks = np.maximum.reduce([fl.shard_peaks(x, i.targets, offset=a, vocab=n) for a, x in shards])
    found: fl.TokenLogprobs = fl.merge(
        [fl.shard_summary(x, i.targets, offset=a, vocab=n, peaks=peaks, top_n=20) for a, x in shards]
    )
    return found


def _sharded(rounds: int) -> Job:
    def error(i: Inputs) -> tuple[float, int]:
        found, right = in_shards(i, rounds), reference.token_logprobs(i.rows, i.targets, top_n=20)
        return ulp(found.logprobs, right.logprobs), int(np.count_nonzero(found.top_ids != right.top_ids))

    peers = {"NumPy": lambda i: partial(numpy_token_logprobs, i)}
    return Job(f"shards, {rounds} rounds", lambda i: partial(in_shards, i, rounds), peers, error)


SHARDS = [_sharded(2), _sharded(1)]


# ---- whole texts ---------------------------------------------------------------------------------------------------


def log_likelihoods(i: Inputs) -> NDArray[np.float64]:
    """As many log-probs as the rows have values, [tokens]."""
    return -np.abs(i.rows.reshape(-1).astype(np.float64))


def numpy_perplexity(scores: NDArray[np.float64]) -> float:
    """exp(-mean), the sum by math.fsum."""
    return math.exp(min(-math.fsum(scores.tolist()) / len(scores), 700))


def _texts_error(i: Inputs) -> tuple[float, int]:
    """Of the perplexity; windows that one of the two sides lacks."""
    scores, n = log_likelihoods(i), i.x.shape[-1]
    found, right = (f(scores).perplexity for f in (fl.score_text, reference.score_text))
    windows = set(fl.sliding_windows(n, 100, stride=7)) ^ set(reference.sliding_windows(n, 100, stride=7))
    return ulp(found, right), len(windows)


TEXTS = [
    Job("perplexity", lambda i: partial(fl.perplexity, log_likelihoods(i)),
        {"NumPy": lambda i: partial(numpy_perplexity, log_likelihoods(i))}, _texts_error),
    Job("score_text", lambda i: partial(fl.score_text, log_likelihoods(i), text="a text"),
        {"NumPy": lambda i: partial(numpy_perplexity, log_likelihoods(i))}, _texts_error),
    Job("sliding_windows", lambda i: partial(fl.sliding_windows, i.x.shape[-1], 1024, stride=512),
        {"NumPy": lambda i: partial(reference.sliding_windows, i.x.shape[-1], 1024, stride=512)}, _texts_error),
]  # fmt: skip


# ---- distributions side by side ------------------------------------------------------------------------------------


def numpy_comparison(i: Inputs, q: Singles) -> Any:
    """KL by two matrices of log-probs."""
    log_p, log_q = (numpy_log_softmax(x, np.empty_like(x)) for x in (i.rows, q))
    return (np.exp(log_p) * (log_p - log_q)).sum(-1)


def _comparison(name: str, **keywords: Any) -> Job:
    ours, twin = getattr(fl, name), getattr(reference, name)

    def error(i: Inputs) -> tuple[float, int]:
        got, right = (f(i.rows, i.others, **keywords) for f in (ours, twin))
        return ulp(got, right), 0

    def prepared(f: Callable[..., Any]) -> Callable[[Inputs], Call]:
        return lambda i: partial(f, i, i.others)

    def call(i: Inputs, q: Singles) -> Any:
        return ours(i.rows, q, **keywords)

    return Job(name, prepared(call), {"NumPy": prepared(numpy_comparison)}, error)


def _all_error(i: Inputs) -> tuple[float, int]:
    """Of the Jensen-Shannon divergence; rows whose agreement differs."""
    found, right = (f(i.rows, i.others, top_n=5) for f in (partial(fl.compare_distributions, js=True),
                                                           reference.compare_distributions))  # fmt: skip
    return ulp(found.js, right.js), int(np.count_nonzero(found.agreement != np.float32(right.agreement)))


COMPARISONS = [
    *map(_comparison, ("kl_divergence", "js_divergence", "total_variation", "cross_entropy")),
    _comparison("top_n_agreement", top_n=10),
    Job("compare_distributions", lambda i: partial(fl.compare_distributions, i.rows, i.others, js=True, top_n=5),
        {"NumPy": lambda i: partial(numpy_comparison, i, i.others)}, _all_error),
]  # fmt: skip


# ---- rows combined -------------------------------------------------------------------------------------------------


def numpy_guide(i: Inputs, u: Singles) -> Singles:
    """transformers' way: log-softmax of both, then u + 1.5 (c - u)."""
    c, u = (numpy_log_softmax(x, np.empty_like(x)) for x in (i.rows, u))
    return u + np.float32(1.5) * (c - u)


def numpy_mix(i: Inputs, u: Singles) -> Singles:
    """The formula of image models."""
    return u + np.float32(1.5) * (i.rows - u)


def _blended(name: str, function: Callable[..., Any], exact: Callable[..., Any], numpy: Callable[..., Any]) -> Job:
    def error(i: Inputs) -> tuple[float, int]:
        """In units in the last place of the operands, whose differences cancel."""
        u = i.others
        got, right = function(i.rows, u), exact(i.rows, u)
        finite = np.isfinite(right)
        held = np.where(finite, right, 0)
        size = np.abs(reference.log_softmax(i.rows)) + np.abs(reference.log_softmax(u)) + np.abs(held)
        away = np.abs(np.where(finite, got, 0) - held) / np.spacing(size.astype(np.float32))
        return float(away.max()), int(np.count_nonzero(np.isfinite(got) != finite))

    return Job(
        name, lambda i: partial(function, i.rows, i.others), {"NumPy": lambda i: partial(numpy, i, i.others)}, error
    )


def guided(name: str, end: str = "sample", **keywords: Any) -> Job:
    """A pipeline on two rows, prepared once; in units of reading one of them."""
    sampler = fl.Sampler(**keywords)
    given: dict[str, Any] = {"rng": 7} if end == "sample" else {}

    def error(i: Inputs) -> tuple[float, int]:
        u = i.others
        beside = sampler.beside[0]
        found = sampler.candidates(i.rows, **{beside: u}).ids
        return 0.0, len(np.setxor1d(found, reference.candidates(i.rows, **{beside: u}, **keywords).ids))

    def ours(i: Inputs) -> Call:
        return partial(getattr(sampler, end), i.x, **{sampler.beside[0]: i.others.reshape(i.x.shape)}, **given)

    return Job(name, ours, {"NumPy": lambda i: partial(numpy_guide, i, i.others)}, error)


BLENDS = [
    _blended("guide", partial(fl.guide, scale=1.5), partial(reference.guide, scale=1.5), numpy_guide),
    _blended("guide, raw", partial(fl.guide, scale=1.5, space="raw"),
             partial(reference.guide, scale=1.5, space="raw"), numpy_mix),
    _blended("contrastive", fl.contrastive, reference.contrastive, numpy_guide),
    _blended("dexperts", lambda x, u: fl.dexperts(x, x, u, 0.5), lambda x, u: reference.dexperts(x, x, u, 0.5),
             numpy_mix),
    guided("guidance, chain", guidance_scale=1.5, **CHAIN),
    guided("guidance, chain, filter_logits", "filter_logits", guidance_scale=1.5, **CHAIN),
    guided("guidance, T, top_p", guidance_scale=1.5, temperature=0.8, top_p=0.95),
    guided("guidance, T", guidance_scale=1.5, temperature=0.8),
    guided("contrastive step, chain", contrastive_alpha=0.1, **CHAIN),
]  # fmt: skip
