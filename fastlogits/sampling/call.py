"""One call of the pipeline for every argument: checked inputs, results laid out, blocks of rows run, errors raised."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import bfloat16 as half
from fastlogits._common import inputs as _inputs
from fastlogits._common import seeds as _seeds
from fastlogits._common import threads as _threads
from fastlogits._common.call_inputs import DEFAULTS, Inputs
from fastlogits._common.errors import Fault, Status, refuse_row
from fastlogits._common.familiar import refuse_unknown
from fastlogits.sampling import beside as _beside
from fastlogits.sampling import prepare as _prepare
from fastlogits.sampling import state as _state
from fastlogits.sampling.results import Candidates

Array = NDArray[Any]
Seed = int | NDArray[np.int64]  # of all rows, or one for each


class Call:
    """The checked arguments of one call, in the form that `_core.PlanTask` takes."""

    def __init__(self, plan: _core.Plan, logits: Any, given: Inputs) -> None:
        self.plan, self.unbound, self.given = plan, plan, given
        self._take(logits)
        if given.state is not None:
            states = _state.of_rows(given.state, self.outer, self.rows)
            _state.check_alone(given)
            _state.check_fits(states, self.n, plan)
            self.inputs: dict[str, Any] = {"states": states}
        else:
            self.plan = bound(plan, self.outer)
            self.inputs = history_inputs(given, self.outer, self.rows, self.n)
        self.inputs["beside"] = _beside.arrays(plan, given.beside, self.x)

    def _take(self, logits: Any) -> None:
        """The arguments that any rows have."""
        self.x = _inputs.logits_array("logits", logits)
        self.outer, self.n = self.x.shape[:-1], self.x.shape[-1]
        self.rows = math.prod(self.outer)
        self.code = _core.dtype_code(self.x)
        if self.n == 0 and self.rows:
            raise ValueError(f"logits must have at least one token per row, got shape {self.x.shape}")
        self._fit(self.plan)
        self.threads = _inputs.thread_count(self.given.threads)
        check_on_error(self.given.on_error)
        self.status = np.zeros(self.rows, np.int32) if self.given.on_error == "status" else None

    def _fit(self, plan: _core.Plan) -> None:
        """Whether the operands of the steps lie within the rows."""
        if not plan.fits(self.n) and self.rows:
            _prepare.check_fits(plan.prepared, self.n)

    def run(self, seed: Seed = 0, **results: Any) -> _core.PlanTask:
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
                _beside.refuse_lone_bans(self.x, self.companions(), row)
            fault = Fault(status, step, value, self.n, [each.name for each in steps])
            refuse_row(self.outer, row, fault, beside=beside)
        if "states" in self.inputs:
            task.tell(self.n)
        return task

    def remind(self, draws: bool) -> None:
        """Warns of a context or state that the steps miss; once per Sampler."""
        self.unbound.remind(self.given.context, self.given.state, draws)

    def steps_of(self, row: int) -> tuple[Any, ...]:
        """Return the steps that a row goes through."""
        return self.plan.steps

    def companions(self) -> dict[str, Array]:
        """Return the rows that first steps combine with the logits, by their argument."""
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

    def __init__(self, states: tuple[Any, ...], logits: Any, given: Inputs) -> None:
        self.states, self.given = states, given
        self.plan = self.unbound = _core.Plan()
        self.plan._fill((), (), ())
        self._take(logits)
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
        around = tuple(self._around(name, rows) for name, rows in zip(_core.BESIDE, given.beside, strict=True))
        self.inputs = {"states": states, "mixed": True, "beside": around}

    def _around(self, name: str, given: Any) -> Array | None:
        """One row per sequence, [R, V], those of sequences that combine none being nothing that is read."""
        takers = [name in state.plan.beside for state in self.states]
        if given is None:
            if any(takers):
                row = takers.index(True)
                step = type(self.steps_of(row)[0]).__name__
                raise TypeError(f"{step} of row {row} needs the argument {name}, rows to combine with the logits")
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


def taken(function: str, inputs: Mapping[str, Any], known: Mapping[str, Any] = DEFAULTS) -> Inputs:
    """The inputs given to the function of that name, which takes those that are known."""
    if not inputs.keys() <= known.keys():
        refuse_unknown(function, inputs, known)
    return Inputs(inputs)


def history_inputs(given: Inputs, outer: tuple[int, ...], rows: int, vocab: int) -> dict[str, Any]:
    """The context of each row, and which random numbers are its own, as `_core.PlanTask` takes them."""
    ids, offsets = _inputs.context_arrays(given.context, outer, rows)
    marked = {}
    if _inputs.placeholders(given.out_of_vocab) and ids is not None:
        _inputs.mark_placeholders(ids, vocab)
        marked["placeholders"] = True
    keys = 0 if given.keys is None and _seeds.seeds_of_rows(given.rng) else given.keys
    none = type(given.prompt_length) is int and given.prompt_length == 0
    return {
        "context": ids,
        "offsets": offsets,
        **marked,
        "prompt_length": None if none else _inputs.row_integers("prompt_length", given.prompt_length, outer, low=0),
        "position": _inputs.row_integers("position", given.position, outer),
        "keys": _inputs.row_integers("keys", keys, outer),
    }


def bound(plan: _core.Plan, outer: tuple[int, ...]) -> _core.Plan:
    """``plan`` itself where its per-row values already lie as the rows do, else one with the values broadcast."""
    if plan.shape == () or plan.shape == outer:
        return plan
    spread = _core.Plan()
    spread._fill(plan.steps, tuple(_prepare.spread(plan.prepared, outer)), outer)
    return spread


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


def dense(call: Call, end: str, out: Any) -> Any:
    """The ends ``probs`` and ``logits``: one value per token, in the type of the logits."""
    if out is None:
        target = half.new(call.x.shape, half.result_code(call.code))
    else:
        target = _inputs.out_array(out, call.x.shape, call.code, call.x)
        for array in call.inputs["beside"]:
            _inputs.refuse_overlap(target, array)
    wanted: dict[str, Any] = {end: target}
    call.run(seed_of(call), **wanted)
    return call.answer(target if out is None else out)


def candidates(call: Call) -> Any:
    """The end `Sampler.candidates`."""
    counts = np.zeros(call.rows, np.int64)
    task = call.run(seed_of(call), counts=counts)
    parts = [task.listings[begin] for begin in sorted(task.listings)]
    ids = np.concatenate([np.empty(0, np.int64), *(part[0] for part in parts)])
    logits, logprobs = (call.narrowed(np.concatenate([np.empty(0), *(part[i] for part in parts)])) for i in (1, 2))
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return call.answer(Candidates(ids, logits, logprobs, offsets))


def seed_of(call: Call) -> Seed:
    """The seed of an end that does not draw: a word is spent only if a step of the plan is random."""
    rng = call.given.rng
    if any(step.random for step in call.plan.steps):
        return _seeds.seed_words(rng, call.outer)
    if not isinstance(rng, np.random.Generator | np.random.BitGenerator | np.random.SeedSequence | None):
        _seeds.seed_words(rng, call.outer)
    return 0
