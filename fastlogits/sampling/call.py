"""One call of the pipeline for every argument: checked inputs, results laid out, blocks of rows run, errors raised."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common import threads as _threads
from fastlogits._common.errors import Status, refuse_row, row_name
from fastlogits.sampling import prepare as _prepare
from fastlogits.sampling import state as _state
from fastlogits.sampling.results import Candidates, GumbelMax, SampleResult

Array = NDArray[Any]


class Call:
    """The checked arguments of one call, in the form that `_core.PlanTask` takes."""

    def __init__(
        self,
        plan: _core.Plan,
        logits: Any,
        context: Any = None,
        prompt_length: Any = 0,
        state: Any = None,
        position: Any = None,
        keys: Any = None,
        threads: Any = None,
        on_error: str = "raise",
        beside: tuple[Any, ...] = (None,) * 4,
    ) -> None:
        self.plan = plan
        self._given = plan, context, state
        self._take(logits, threads, on_error)
        states = None if state is None else _state.of_rows(state, self.outer, self.rows)
        if states is not None:
            _state.check_alone(context, prompt_length, position, keys)
            _state.check_fits(states, self.n, plan)
            self.inputs: dict[str, Any] = {"states": states, "beside": beside_arrays(plan, beside, self.x)}
            return
        self.plan = bound(plan, self.outer)
        ids, offsets = _inputs.context_arrays(context, self.outer, self.rows)
        none = type(prompt_length) is int and prompt_length == 0
        starts = None if none else _inputs.row_integers("prompt_length", prompt_length, self.outer, low=0)
        self.inputs = {
            "context": ids,
            "offsets": offsets,
            "prompt_length": starts,
            "position": _inputs.row_integers("position", position, self.outer),
            "keys": _inputs.row_integers("keys", keys, self.outer),
            "beside": beside_arrays(plan, beside, self.x),
        }

    def _take(self, logits: Any, threads: Any, on_error: str) -> None:
        """The arguments that any rows have."""
        self.x = _inputs.logits_array("logits", logits)
        self.outer, self.n = self.x.shape[:-1], self.x.shape[-1]
        self.rows = math.prod(self.outer)
        self.code = _core.dtype_code(self.x)
        if self.n == 0 and self.rows:
            raise ValueError(f"logits must have at least one token per row, got shape {self.x.shape}")
        self._fit(self.plan)
        self.threads = _inputs.thread_count(threads)
        check_on_error(on_error)
        self.status = np.zeros(self.rows, np.int32) if on_error == "status" else None

    def _fit(self, plan: _core.Plan) -> None:
        """Whether the operands of the steps lie within the rows."""
        if not plan.fits(self.n) and self.rows:
            _prepare.check_fits(plan.prepared, self.n)

    def run(self, seed: int = 0, **results: Any) -> _core.PlanTask:
        """Runs all rows; the first bad one raises unless the status is wanted."""
        self.remind(draws="ids" in results)
        task = _core.PlanTask(self.plan, self.x, seed=seed, status=self.status, **self.inputs, **results)
        width = self.n + results.get("draws", 0) * (self.n // 256 + 256)  # a draw reads sums of blocks and one block
        _threads.run_blocks(task.run, self.rows, self.threads, width)
        if task.failures:
            row, status, step, value = min(task.failures)
            steps = self.steps_of(row)
            beside = steps[0].beside if steps else ()
            if status == Status.STEP_INF and step == 0:
                refuse_lone_bans(self.x, self.companions(), row)
            refuse_row(self.outer, row, status, step, value, self.n, [each.name for each in steps], beside=beside)
        if "states" in self.inputs:
            task.tell(self.n)
        return task

    def remind(self, draws: bool) -> None:
        """Warns of a context or state that the steps miss; once per Sampler."""
        plan, context, state = self._given
        plan.remind(context, state, draws)

    def steps_of(self, row: int) -> tuple[Any, ...]:
        """Return the steps of the row's own Sampler."""
        """The steps that a row goes through."""
        return self.plan.steps

    def companions(self) -> dict[str, Array]:
        """Return the companion rows of the call by name."""
        """The rows that first steps combine with the logits, by their argument."""
        return dict(zip(self.plan.beside, self.inputs["beside"], strict=True))

    def narrowed(self, values: NDArray[np.float64]) -> Array:
        """Log-probs in their type: float64 for float64 logits, else float32, where only probability 0 gives -inf."""
        return narrowed(values, self.code)

    def answer(self, result: Any) -> Any:
        """``result``, or with ``on_error="status"`` the pair (result, status)."""
        return with_status(result, self.status, self.outer)

    def shaped(self, values: Array) -> Any:
        """One value per row in the shape of the batch; for a single row an int or a float."""
        return shaped(values, self.outer)


class MixedCall(Call):
    """One call for rows [R, V] with a state each that follow the plans of their own."""

    def __init__(
        self, states: tuple[Any, ...], logits: Any, threads: Any, on_error: str, beside: tuple[Any, ...]
    ) -> None:
        self.states, self.plan = states, _core.Plan()
        self.plan._fill((), (), ())
        self._given = self.plan, None, states
        self._take(logits, threads, on_error)
        if self.outer != (len(states),):
            raise ValueError(
                f"logits must hold one row per sequence of the batch, [{len(states)}, V], got shape {self.x.shape}"
            )
        for row, state in enumerate(states):
            try:
                self._fit(state.plan)
            except ValueError as error:
                raise ValueError(f"{error}, in row {row} of the batch") from None
        _state.check_fits(states, self.n, self.plan, mixed=True)
        around = tuple(self._around(name, rows) for name, rows in zip(_core.BESIDE, beside, strict=True))
        self.inputs = {"states": states, "mixed": True, "beside": around}

    def _around(self, name: str, given: Any) -> Array | None:
        """One row per sequence, [R, V], those of sequences that combine none being nothing that is read."""
        takers = [name in state.plan.beside for state in self.states]
        if given is None:
            if any(takers):
                row = takers.index(True)
                step = type(self.steps_of(row)[0]).__name__
                raise TypeError(f"{step} of row {row} needs the argument {name}, rows beside the logits")
            return None
        if not any(takers):
            raise TypeError(f"{name} is given, but no Sampler of the batch combines it with the logits")
        if not isinstance(given, list | tuple):
            return _inputs.beside_array(name, _inputs.logits_array(name, given), self.x)
        if len(given) != len(takers):
            raise ValueError(f"{name} must hold one row or None per sequence ({len(takers)} rows), got {len(given)}")
        array = np.zeros(self.x.shape, self.x.dtype)
        for row, (values, takes) in enumerate(zip(given, takers, strict=True)):
            self._place(array, name, row, values, takes)
        return array

    def _place(self, array: Array, name: str, row: int, values: Any, takes: bool) -> None:
        """Puts one row of a list in its place."""
        if (values is not None) != takes:
            wanted = "a row of logits" if takes else "None, as its Sampler combines none"
            raise TypeError(f"{name}[{row}] must be {wanted}, got {'a row' if values is not None else None}")
        if takes:
            where = f"{name}[{row}]"
            array[row] = _inputs.beside_array(where, _inputs.logits_array(where, values), self.x[row], f"logits[{row}]")

    def steps_of(self, row: int) -> tuple[Any, ...]:
        """Return the steps of the row's own Sampler."""
        steps: tuple[Any, ...] = self.states[row].plan.steps
        return steps

    def companions(self) -> dict[str, Array]:
        """Return the companion rows of the call by name."""
        around = zip(_core.BESIDE, self.inputs["beside"], strict=True)
        return {name: rows for name, rows in around if rows is not None}


def beside_arrays(plan: _core.Plan, given: tuple[Any, ...], x: Array, first: str = "logits") -> tuple[Array, ...]:
    """The rows that the plan's first step combines with ``x``, of those ``given`` in the order of `_core.BESIDE`."""
    rows = dict(zip(_core.BESIDE, given, strict=True))
    for name, array in rows.items():
        if name in plan.beside and array is None:
            raise TypeError(f"{type(plan.steps[0]).__name__} needs the argument {name}, rows beside the logits")
        if name not in plan.beside and array is not None:
            raise TypeError(f"{name} is given, but the first step is none that combines it with the logits")
    arrays = ((name, _inputs.logits_array(name, rows[name])) for name in plan.beside)
    return tuple(_inputs.beside_array(name, array, x, first) for name, array in arrays)


def refuse_lone_bans(x: Array, companions: dict[str, Array], row: int, first: str = "logits") -> None:
    """Raises the error of a row that has no finite combination as a companion row bans a token that it does not."""
    at = np.unravel_index(row, x.shape[:-1])
    values = half.wide(x[at])
    for name, rows in companions.items():
        alone = np.flatnonzero((half.wide(rows[at]) == -np.inf) & (values > -np.inf))
        if alone.size:
            where, whole = row_name(name, row, x.shape[:-1]), row_name(first, row, x.shape[:-1])
            raise ValueError(
                f"{where} must be finite where {whole} is, got -inf for token {alone[0]}; ban a token in both"
            )


def check_on_error(on_error: Any) -> None:
    """Refuses what is neither of the two words."""
    if on_error not in ("raise", "status"):
        raise ValueError(f"on_error must be 'raise' or 'status', got {on_error!r}")


def narrowed(values: NDArray[np.float64], code: int) -> Array:
    """Figures in the type of log-probs of logits of element type ``code``; see `Call.narrowed`."""
    return values if code == _core.F64 else _core.single(values)


def shaped(values: Array, outer: tuple[int, ...]) -> Any:
    """One value per row in the shape of the batch; for a single row an int, a bool or a float."""
    return values.reshape(outer) if outer else values.item()


def with_status(result: Any, status: NDArray[np.int32] | None, outer: tuple[int, ...]) -> Any:
    """``result``, or the pair (result, status)."""
    if status is None:
        return result
    return result, status.reshape(outer) if outer else Status(int(status[0]))


def bound(plan: _core.Plan, outer: tuple[int, ...]) -> _core.Plan:
    """``plan`` itself where its per-row values already lie as the rows do, else one with the values broadcast."""
    if plan.shape == () or plan.shape == outer:
        return plan
    spread = _core.Plan()
    spread._fill(plan.steps, tuple(_prepare.spread(plan.prepared, outer)), outer)
    return spread


def sample(
    plan: _core.Plan,
    logits: Any,
    n: Any,
    replacement: Any,
    context: Any,
    prompt_length: Any,
    state: Any,
    rng: Any,
    position: Any,
    keys: Any,
    logprobs: Any,
    out: Any,
    threads: Any,
    on_error: str,
    beside: tuple[Any, ...],
) -> Any:
    """`Sampler.sample` of any arguments."""
    call = Call(plan, logits, context, prompt_length, state, position, keys, threads, on_error, beside)
    return sampled(call, rng, logprobs, out, n, replacement)


def sampled(call: Call, rng: Any, logprobs: Any, out: Any, n: Any = None, replacement: Any = True) -> Any:
    """The drawn tokens of a call."""
    top_n = None if logprobs is None else top_count("logprobs", logprobs, " or None")
    draws = draw_count(n)
    if not isinstance(replacement, bool | np.bool_):
        raise TypeError(f"replacement must be True or False, got {replacement!r}")
    shape = call.outer if n is None else (*call.outer, draws)
    target = None if out is None else _inputs.out_array(out, shape, -1, call.x)
    distinct = not replacement and draws > 1
    direct = target is not None and target.flags.c_contiguous and target.flags.aligned and not distinct
    ids = target.reshape(-1) if target is not None and direct else np.full(call.rows * draws, -1, np.int64)
    results: dict[str, Any] = {} if top_n is None else _logprob_arrays(call.rows, draws, min(top_n, call.n))
    call.run(_inputs.seed_word(rng), ids=ids, draws=draws, distinct=not replacement, **results)
    if distinct:
        check_enough(call, ids.reshape(-1, draws))
    if target is not None and not direct:
        target[...] = ids.reshape(shape)
    drawn = shaped(ids, shape) if out is None else out
    return call.answer(drawn if top_n is None else _sample_result(call, drawn, results, shape, top_n))


def check_enough(call: Call, ids: NDArray[np.int64]) -> None:
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
    return top_count("n", n, " or None", low=1)


def gumbel_max(call: Call, rng: Any, n: Any, offset: Any) -> Any:
    """`Sampler.gumbel_max`."""
    draws, first = draw_count(n), top_count("offset", offset, power=62)
    shape = call.outer if n is None else (*call.outer, draws)
    ids, values = np.full(call.rows * draws, -1, np.int64), np.full(call.rows * draws, np.nan)
    bases = np.full(call.rows, np.nan)
    call.run(_inputs.seed_word(rng), ids=ids, perturbed=values, bases=bases, draws=draws, distinct=True, offset=first)
    ids[ids >= 0] += first
    return call.answer(GumbelMax(shaped(ids, shape), shaped(values, shape), shaped(bases, call.outer)))


def top_count(name: str, value: Any, also: str = "", low: int = 0, power: int = 31) -> int:
    """A checked number of tokens in [low, 2^power)."""
    try:
        count = operator.index(value)
    except TypeError:
        count = None
    if count is None or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be an integer >= {low}{also}, got {value!r}")
    if count < low:
        raise ValueError(f"{name} must be an integer >= {low}{also}, got {count}")
    if count >= 1 << power:
        raise ValueError(f"{name} must be an integer in [{low}, 2^{power}){also}, got {count}")
    return count


def _logprob_arrays(rows: int, draws: int, columns: int) -> dict[str, Any]:
    """Buffers for what C reports together with the drawn ids."""
    return {
        "logprobs": np.full(rows * draws, np.nan),
        "raw_logprobs": np.full(rows * draws, np.nan),
        "ranks": np.full(rows * draws, -1, np.int64),
        "top_ids": np.full((rows, columns), -1, np.int64),
        "top_logprobs": np.full((rows, columns), np.nan),
    }


def _sample_result(call: Call, ids: Any, results: dict[str, Any], shape: tuple[int, ...], top_n: int) -> SampleResult:
    """The arrays of `_logprob_arrays` in the types and shapes of the result, columns beyond the row padded."""
    top_ids, top_logprobs = results["top_ids"], results["top_logprobs"]
    if (missing := top_n - call.n) > 0:
        top_ids = np.pad(top_ids, ((0, 0), (0, missing)), constant_values=-1)
        top_logprobs = np.pad(top_logprobs, ((0, 0), (0, missing)), constant_values=-np.inf)
    return SampleResult(
        ids,
        shaped(call.narrowed(results["logprobs"]), shape),
        shaped(call.narrowed(results["raw_logprobs"]), shape),
        shaped(results["ranks"], shape),
        top_ids.reshape(*call.outer, top_n),
        call.narrowed(top_logprobs).reshape(*call.outer, top_n),
    )


def dense(call: Call, end: str, rng: Any, out: Any) -> Any:
    """The ends ``probs`` and ``logits``: one value per token, in the type of the logits."""
    if out is None:
        target = half.new(call.x.shape, half.result_code(call.code))
    else:
        target = _inputs.out_array(out, call.x.shape, call.code, call.x)
        for array in call.inputs["beside"]:
            _inputs.refuse_overlap(target, array)
    wanted: dict[str, Any] = {end: target}
    call.run(seed_of(call, rng), **wanted)
    return call.answer(target if out is None else out)


def candidates(call: Call, rng: Any) -> Any:
    """The end `Sampler.candidates`."""
    counts = np.zeros(call.rows, np.int64)
    task = call.run(seed_of(call, rng), counts=counts)
    parts = [task.listings[begin] for begin in sorted(task.listings)]
    ids = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
    logits, logprobs = (call.narrowed(np.concatenate([np.empty(0), *(part[i] for part in parts)])) for i in (1, 2))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return call.answer(Candidates(ids, logits, logprobs, offsets))


def seed_of(call: Call, rng: Any) -> int:
    """The seed of an end that does not draw: a word is spent only if a step of the plan is random."""
    if any(step.random for step in call.plan.steps):
        return _inputs.seed_word(rng)
    if not isinstance(rng, np.random.Generator | np.random.BitGenerator | np.random.SeedSequence | None):
        _inputs.seed_word(rng)
    return 0
