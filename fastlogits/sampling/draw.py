"""Tokens drawn from the rows of a call, and what is told of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastlogits._common import inputs as _inputs
from fastlogits._common.errors import Status, row_name
from fastlogits.sampling import call as _run
from fastlogits.sampling.results import GumbelMax, SampleResult


def sample(call: _run.Call, n: Any = None, replacement: Any = True, logprobs: Any = None, out: Any = None) -> Any:
    """The drawn tokens of a call."""
    top_n = None if logprobs is None else _run.top_count("logprobs", logprobs, " or None")
    draws = draw_count(n)
    if not isinstance(replacement, bool | np.bool_):
        raise TypeError(f"replacement must be True or False, got {replacement!r}")
    shape = call.outer if n is None else (*call.outer, draws)
    target = None if out is None else _inputs.out_array(out, shape, -1, call.x)
    distinct = not replacement and draws > 1
    direct = target is not None and target.flags.c_contiguous and target.flags.aligned and not distinct
    ids = target.reshape(-1) if target is not None and direct else np.full(call.rows * draws, -1, np.int64)
    results: dict[str, Any] = {} if top_n is None else _logprob_arrays(call.rows, draws, min(top_n, call.n))
    call.run(_inputs.seed_words(call.given.rng, call.outer), ids=ids, draws=draws, distinct=not replacement, **results)
    if distinct:
        check_enough(call, ids.reshape(-1, draws))
    if target is not None and not direct:
        target[...] = ids.reshape(shape)
    drawn = _run.shaped(ids, shape) if out is None else out
    return call.answer(drawn if top_n is None else _sample_result(call, drawn, results, shape, top_n))


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
        _inputs.seed_words(call.given.rng, call.outer),
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
    """Buffers for what C reports together with the drawn ids."""
    return {
        "logprobs": np.full(rows * draws, np.nan),
        "raw_logprobs": np.full(rows * draws, np.nan),
        "ranks": np.full(rows * draws, -1, np.int64),
        "top_ids": np.full((rows, columns), -1, np.int64),
        "top_logprobs": np.full((rows, columns), np.nan),
    }


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
