"""Speculative decoding: drafted tokens accepted or refused so that what is emitted follows the target distribution."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits._common import seeds as _seeds
from fastlogits._common import threads as _threads
from fastlogits._common.call_inputs import Inputs
from fastlogits._common.errors import Fault, Status, refuse_row, row_name
from fastlogits._common.plain import to_dict
from fastlogits.sampling import beside as _beside
from fastlogits.sampling import call as _run
from fastlogits.sampling import prepare as _prepare
from fastlogits.sampling import state as _state

Array = NDArray[Any]


class Verified(NamedTuple):
    """What `fastlogits.verify` emits for each sequence.

    Attributes
    ----------
    ids : int64 array [..., n + 1]
        The accepted tokens and the one after them, padded with -1.
    accepted : int or int64 array [...]
        How many drafted tokens were accepted.
    tokens : int or int64 array [...]
        The token after the accepted ones: drawn from what is left of the target where a draft was refused, else the
        bonus token. -1 for a bad row.
    path : int64 array [..., n]
        Which nodes of the draft were accepted, padded with -1.

    Examples
    --------
    >>> import fastlogits as fl
    >>> found = fl.verify([[0.0, 9.0, 0.0], [0.0, 0.0, 9.0]], [1], temperature=0)
    >>> found.ids, found.accepted, found.tokens
    (array([1, 2]), 1, 2)
    """

    ids: NDArray[np.int64]
    accepted: Any
    tokens: Any
    path: NDArray[np.int64]

    def to_dict(self) -> dict[str, Any]:
        """The fields by name as Python numbers, lists and dicts, which `json.dumps` takes."""
        return to_dict(self)


class Drafts:
    """The checked operands of one call."""

    def __init__(self, target: Any, ids: Any, logits: Any, probs: Any, parents: Any) -> None:
        self.target = _inputs.logits_array("target_logits", target)
        if self.target.ndim < 2 or 0 in self.target.shape[-2:]:
            raise ValueError(f"target_logits must have shape [..., n + 1, V], got {self.target.shape}")
        self.outer, self.n, self.vocab = self.target.shape[:-2], self.target.shape[-2] - 1, self.target.shape[-1]
        self.rows = math.prod(self.outer)
        self.ids = self._integers("draft_ids", ids)
        bad = (self.ids < -1) | (self.ids >= self.vocab)
        if bad.any():
            at = int(bad.argmax())
            where = row_name("draft_ids", at, (*self.outer, self.n))
            raise ValueError(f"{where}: token id {self.ids.reshape(-1)[at]} must be in [-1, {self.vocab})")
        self.parents = None if parents is None else self._parents(self._integers("parents", parents))
        if logits is not None and probs is not None:
            raise TypeError("draft_logits and draft_probs were both given")
        self.logits, self.probs = self._beside("draft_logits", logits), self._beside("draft_probs", probs)

    def _integers(self, name: str, values: Any) -> NDArray[np.int64]:
        """One integer per draft token, [rows, n]; token -1 ends a draft."""
        array = _inputs.plain_array(name, values)
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"{name} must hold integers, got dtype {array.dtype}")
        shape = (*self.outer, self.n)
        if array.shape != shape and not (name == "parents" and array.shape == (self.n,)):
            raise ValueError(f"{name} must have shape {shape}, got {array.shape}")
        if array.dtype.kind == "u" and array.size and array.max() >= 2**63:
            raise ValueError(f"{name} must hold integers below 2^63, got {array.max()}")
        return np.array(np.broadcast_to(array, shape), np.int64, order="C").reshape(self.rows, self.n)

    def _parents(self, parents: NDArray[np.int64]) -> NDArray[np.int64]:
        """Parents stand before their children; -1 is the context."""
        bad = ((parents < -1) | (parents >= np.arange(self.n))) & (np.cumsum(self.ids < 0, axis=-1) == 0)
        if bad.any():
            at = int(bad.argmax())
            where = row_name("parents", at, (*self.outer, self.n))
            raise ValueError(f"{where} must be in [-1, {at % self.n}), got {parents.reshape(-1)[at]}")
        return parents

    def _beside(self, name: str, values: Any) -> Array | None:
        """Rows that the children of each node were drawn from, row 0 those of the context."""
        if values is None:
            return None
        array = _inputs.logits_array(name, values)
        nodes = np.arange(-1, self.n - 1) if self.parents is None else self.parents
        used = nodes[np.cumsum(self.ids < 0, axis=-1) == 0] if self.parents is not None else nodes
        least = 2 + int(used.max(initial=-2)) if self.n else 0
        right = array.ndim == self.target.ndim and array.shape[:-2] == self.outer and array.shape[-1] == self.vocab
        if not right or array.shape[-2] < least:
            wanted = (*self.outer, f">= {least}", self.vocab)
            raise ValueError(f"{name} must have shape ({', '.join(map(str, wanted))}), got {array.shape}")
        return array


def verify(plans: tuple[_core.Plan, _core.Plan], drafts: Drafts, replacement: Any, given: Inputs) -> Any:
    """`Sampler.verify` of checked operands."""
    if not isinstance(replacement, bool | np.bool_):
        raise TypeError(f"replacement must be True or False, got {replacement!r}")
    _run.check_on_error(given.on_error)
    outer, rows, n = drafts.outer, drafts.rows, drafts.n
    _check_plans(plans, drafts)
    around = _beside.arrays(plans[0], given.beside, drafts.target, "target_logits")
    threads = _inputs.thread_count(given.threads)
    samplers = plans[: 1 if drafts.logits is None else 2]
    bound, inputs = _history(plans, samplers, drafts, given)
    for plan in samplers:
        plan.remind(given.context, given.state, draws=True)
    accepted, emitted, path = np.zeros(rows, np.int64), np.full((rows, n + 1), -1, np.int64), np.full((rows, n), -1)
    status = np.zeros(rows, np.int32) if given.on_error == "status" else None
    task = _core.VerifyTask(
        *bound, drafts.target, ids=drafts.ids, parents=drafts.parents, logits=drafts.logits, probs=drafts.probs,
        distinct=not replacement, seed=_seeds.seed_words(given.rng, outer), accepted=accepted, emitted=emitted,
        path=path, status=status, beside=around, **inputs,
    )  # fmt: skip
    _threads.run_blocks(task.run, rows, threads, (n + 1) * drafts.vocab)
    if task.failures:
        row, bad, at, value = min(task.failures)
        if bad == Status.STEP_INF and at == 0:
            _beside.refuse_lone_bans(
                drafts.target, dict(zip(plans[0].beside, around, strict=True)), row, "target_logits"
            )
        refuse(drafts, plans, row, bad, at, value)
    if given.state is not None:
        task.tell(drafts.vocab)
    tokens = np.take_along_axis(emitted, accepted[:, None], axis=1)[:, 0]
    found = Verified(
        emitted.reshape(*outer, n + 1), _run.shaped(accepted, outer), _run.shaped(tokens, outer),
        path.reshape(*outer, n),
    )  # fmt: skip
    return _run.with_status(found, status, outer)


def _check_plans(plans: tuple[_core.Plan, _core.Plan], drafts: Drafts) -> None:
    """The pipelines fit the vocabulary, and that of the drafts combines no rows."""
    if drafts.logits is not None and plans[1].beside:
        step = type(plans[1].steps[0]).__name__
        raise TypeError(
            f"draft_logits are not combined with other rows: pass a draft_sampler without {step}, or draft_probs"
        )
    for plan in plans:
        if not plan.fits(drafts.vocab) and drafts.rows:
            _prepare.check_fits(plan.prepared, drafts.vocab)


def _history(
    plans: tuple[_core.Plan, _core.Plan], samplers: tuple[_core.Plan, ...], drafts: Drafts, given: Inputs
) -> tuple[tuple[_core.Plan, _core.Plan], dict[str, Any]]:
    """The pipelines with a value for each sequence, and the tokens before the drafts."""
    if given.state is None:
        inputs = _run.history_inputs(given, drafts.outer, drafts.rows, drafts.vocab)
        if "placeholders" not in inputs:
            check_context(inputs["context"], inputs["offsets"], drafts.outer, drafts.vocab)
        return (_run.bound(plans[0], drafts.outer), _run.bound(plans[1], drafts.outer)), inputs
    _state.check_alone(given)
    states = _state.of_rows(given.state, drafts.outer, drafts.rows)
    for plan in samplers:
        _state.check_fits(states, drafts.vocab, plan)
    return plans, {"states": states}


def check_context(ids: Any, offsets: Any, outer: tuple[int, ...], vocab: int) -> None:
    """Token ids of contexts lie in the vocabulary; all of them, before anything is drawn."""
    bad = np.zeros(0, bool) if ids is None else (ids < 0) | (ids >= vocab)
    if bad.any():
        at = int(bad.argmax())
        row = 0 if offsets is None else int(np.searchsorted(offsets, at, side="right")) - 1
        where = row_name("context", row, outer if offsets is not None else ())
        raise ValueError(f"{where}: token id {ids[at]} must be in [0, {vocab})")


def refuse(
    drafts: Drafts, plans: tuple[_core.Plan, _core.Plan], row: int, status: int, step: int, value: float
) -> None:
    """Raises the error of a row of the target or of the draft."""
    draft, status = divmod(status, _core.OF_DRAFT)
    beside = drafts.logits if drafts.probs is None else drafts.probs
    rows = beside if draft and beside is not None else drafts.target
    given = "draft_logits" if drafts.probs is None else "draft_probs"
    argument = given if draft else "target_logits"
    if status == _core.UNDRAWN:
        where = row_name("draft_ids", row * drafts.n + int(value), (*drafts.outer, drafts.n))
        token = drafts.ids[row, int(value)]
        raise ValueError(f"{where}: token id {token} must have a probability above 0 in {given}, got 0")
    if status == _core.NEGATIVE:
        raise ValueError(f"{row_name(argument, row, rows.shape[:-1])} contains a negative number")
    names = [each.name for each in plans[draft].steps]
    around = () if draft else plans[0].beside
    refuse_row(rows.shape[:-1], row, Fault(status, step, value, drafts.vocab, names), argument, around)
