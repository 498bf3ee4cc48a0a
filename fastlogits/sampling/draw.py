"""Tokens drawn from the rows of a call, and what is told of them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits._common import seeds as _seeds
from fastlogits._common import threads as _threads
from fastlogits._common.errors import Status, row_name
from fastlogits.sampling import call as _run
from fastlogits.sampling import prepare as _prepare
from fastlogits.sampling.results import GumbelMax, SampleResult
from fastlogits.steps import RemoveInvalidValues


class Wanted(NamedTuple):
    """What is wanted of a call that draws: keywords of `Sampler.sample` as they came."""

    n: Any = None
    replacement: Any = True
    logprobs: Any = None
    logprobs_mode: Any = "processed"
    out: Any = None


def sample(call: _run.Call, wanted: Wanted) -> Any:
    """The drawn tokens of a call."""
    top_n = None if wanted.logprobs is None else _run.top_count("logprobs", wanted.logprobs, " or None")
    draws, replacement, out = draw_count(wanted.n), wanted.replacement, wanted.out
    if not isinstance(replacement, bool | np.bool_):
        raise TypeError(f"replacement must be True or False, got {replacement!r}")
    if wanted.logprobs_mode not in ("processed", "raw", "both"):
        raise ValueError(f"logprobs_mode must be 'processed', 'raw' or 'both', got {wanted.logprobs_mode!r}")
    shape = call.outer if wanted.n is None else (*call.outer, draws)
    target = None if out is None else _inputs.out_array(out, shape, -1, call.x)
    distinct = not replacement and draws > 1
    direct = target is not None and target.flags.c_contiguous and target.flags.aligned and not distinct
    ids = target.reshape(-1) if target is not None and direct else np.full(call.rows * draws, -1, np.int64)
    results: dict[str, Any] = {} if top_n is None else _logprob_arrays(call.rows, draws, min(top_n, call.n))
    call.run(_seeds.seed_words(call.given.rng, call.outer), ids=ids, draws=draws, distinct=not replacement, **results)
    if distinct:
        check_enough(call, ids.reshape(-1, draws))
    if target is not None and not direct:
        target[...] = ids.reshape(shape)
    drawn = _run.shaped(ids, shape) if out is None else out
    if top_n is None:
        return call.answer(drawn)
    found = _sample_result(call, drawn, results, shape, top_n)
    if wanted.logprobs_mode == "processed":
        return call.answer(found)
    raw = _sample_result(call, drawn, _raw_figures(call, ids.reshape(-1, draws), results), shape, top_n)
    if wanted.logprobs_mode == "raw":
        return call.answer(raw)
    return call.answer(found._replace(**{f"raw_{name}": getattr(raw, name) for name in _RAW}))


_RAW = ("ranks", "top_ids", "top_logprobs")


def check_enough(call: _run.Call, ids: NDArray[np.int64]) -> None:
    """Whether every row had as many different tokens as were asked for; -1 stands for what it lacks."""
    few = ids[:, -1] < 0
    if call.status is not None:
        call.status[few & (call.status == Status.OK)] = Status.TOO_FEW
    elif few.any():
        row = int(few.argmax())
        kept = int(np.count_nonzero(ids[row] >= 0))
        raise ValueError(
            f"n must be at most the number of tokens left, {kept} in {row_name('logits', row, call.outer)}, as tokens "
            f'do not come again, got {ids.shape[1]}; fastlogits.sample pads with -1 under on_error="status"'
        )


def draw_count(n: Any) -> int:
    """A checked number of tokens to draw from each row."""
    if n is None:
        return 1
    return _run.top_count("n", n, " or None", low=1)


def gumbel_max(call: _run.Call, n: Any, offset: Any) -> Any:
    """`Sampler.gumbel_max`."""
    draws, first = draw_count(n), _run.top_count("offset", offset, power=62)
    shape = call.outer if n is None else (*call.outer, draws)
    ids, values = np.full(call.rows * draws, -1, np.int64), np.full(call.rows * draws, np.nan)
    bases = np.full(call.rows, np.nan)
    call.run(
        _seeds.seed_words(call.given.rng, call.outer),
        ids=ids,
        perturbed=values,
        bases=bases,
        draws=draws,
        distinct=True,
        offset=first,
    )
    ids[ids >= 0] += first
    return call.answer(GumbelMax(_run.shaped(ids, shape), _run.shaped(values, shape), _run.shaped(bases, call.outer)))


def _logprob_arrays(rows: int, draws: int, columns: int) -> dict[str, Any]:
    """Arrays for the figures of the drawn ids."""
    return {
        "logprobs": np.full(rows * draws, np.nan),
        "raw_logprobs": np.full(rows * draws, np.nan),
        "ranks": np.full(rows * draws, -1, np.int64),
        "top_ids": np.full((rows, columns), -1, np.int64),
        "top_logprobs": np.full((rows, columns), np.nan),
    }


def _raw_figures(call: _run.Call, ids: NDArray[np.int64], results: dict[str, Any]) -> dict[str, Any]:
    """What `_logprob_arrays` holds, of the logits as they came; ids [rows, draws]."""
    x, draws = _as_they_came(call), ids.shape[-1]
    raw = _logprob_arrays(call.rows, draws, results["top_ids"].shape[-1])
    ranks, tops = raw["ranks"].reshape(ids.shape), {name: raw[name] for name in ("top_ids", "top_logprobs")}
    ranks[:, :1] = _ranks(call, x, ids[:, :1], tops)
    if draws > 1:
        several = np.broadcast_to(x[..., None, :], (*call.outer, draws - 1, call.n))
        ranks[:, 1:] = _ranks(call, several, ids[:, 1:], {})
    failed = ids[:, 0] < 0
    raw["top_logprobs"][failed] = np.nan
    raw["top_ids"][~(raw["top_logprobs"] > -np.inf)] = -1
    return raw | dict.fromkeys(("logprobs", "raw_logprobs"), results["raw_logprobs"])


def _ranks(call: _run.Call, x: NDArray[Any], ids: NDArray[np.int64], tops: dict[str, Any]) -> NDArray[np.int64]:
    """1 + the number of greater logits in the rows of x, -1 where there is no token; fills the lists of the top."""
    ranks, nothing = np.full(ids.size, -1, np.int64), np.empty(ids.size)
    status, targets = np.zeros(ids.size, np.int32), np.maximum(ids.reshape(-1), 0)
    task = _core.ScoresTask(x, np.ones(1), targets, logprobs=nothing, status=status, ranks=ranks, **tops)
    _threads.run_blocks(task.run, ids.size, call.threads, call.n)
    return np.where(ids < 0, -1, ranks.reshape(ids.shape))


def _as_they_came(call: _run.Call) -> NDArray[Any]:
    """The logits of a call, repaired where the steps of a row begin with that."""
    repaired = np.array([_is_repaired(call, row) for row in range(call.rows)], np.bool_)
    if not repaired.any():
        return call.x
    step = RemoveInvalidValues()
    plan, x, rows = _core.Plan(), np.array(call.x), repaired.reshape(call.outer)
    plan._fill((step,), (_prepare.prepared(step),), ())
    _core.PlanTask(plan, call.x, logits=x, status=np.zeros(call.rows, np.int32)).run(0, call.rows)
    x[~rows] = call.x[~rows]
    return x


def _is_repaired(call: _run.Call, row: int) -> bool:
    """Whether the steps of a row begin with `RemoveInvalidValues`."""
    steps = call.steps_of(row)
    if not (steps and isinstance(steps[0], RemoveInvalidValues)):
        return False
    states: Any = call.inputs.get("states")
    plan = states[row].plan if "mixed" in call.inputs else call.plan
    value, own = plan.prepared[0].value, states[row].row if states else row
    return value is None or bool(value.flat[own if value.size > 1 else 0])


def _sample_result(
    call: _run.Call, ids: Any, results: dict[str, Any], shape: tuple[int, ...], top_n: int
) -> SampleResult:
    """The arrays of `_logprob_arrays` in the types and shapes of the result, columns beyond the row padded."""
    top_ids, top_logprobs = results["top_ids"], results["top_logprobs"]
    if (missing := top_n - call.n) > 0:
        top_ids = np.pad(top_ids, ((0, 0), (0, missing)), constant_values=-1)
        top_logprobs = np.pad(top_logprobs, ((0, 0), (0, missing)), constant_values=-np.inf)
    return SampleResult(
        ids,
        _run.shaped(call.narrowed(results["logprobs"]), shape),
        _run.shaped(call.narrowed(results["raw_logprobs"]), shape),
        _run.shaped(results["ranks"], shape),
        top_ids.reshape(*call.outer, top_n),
        call.narrowed(top_logprobs).reshape(*call.outer, top_n),
    )
