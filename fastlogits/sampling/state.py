"""State: the incremental history of one sequence, so that no call rescans it."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

import fastlogits._core as _core
from fastlogits._common import inputs as _inputs
from fastlogits._common.params import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastlogits._common.call_inputs import Inputs
    from fastlogits.sampling.sampler import Sampler

__all__ = ["State"]

_MOST_IDS = 2**31 - 1


class State(_core.Sequence):
    """One sequence: its tokens with their counts and repeats, its position and its key. `Sampler.state` makes it.

    Pass it as ``state=`` to any method of a Sampler, or to the function of the same name: one for a row, a list of them
    for a batch. It replaces ``context``, ``prompt_length``, ``position`` and ``keys``. The result is the same, but no
    call walks the whole history. Only `accept` and `rollback` change a state; sampling does not. So several threads may
    use one state as long as none of them changes it. A state is picklable.

    Attributes
    ----------
    tokens : int64 array
        The ids so far, a copy; ``len(state)`` is their number.
    position : int
        The number of the random stream that the next draw uses: ``len(state)``, unless the state began elsewhere.
    prompt_length : int
        How many tokens at the beginning are the prompt.
    key : int or None
        The random stream of this sequence. None: the number of its row in the call.
    row : int
        The row whose parameters it uses, if the Sampler has parameters per row.
    vocab : int
        Size of the vocabulary, 0 while it is not known.
    out_of_vocab : "error" or "placeholder"
        What an id outside the vocabulary is. A placeholder shows as -1 in ``tokens``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(frequency_penalty=0.5, top_k=3)
    >>> state = sampler.state([1, 2])
    >>> for _ in range(3):
    ...     state.accept(sampler.sample([1.0, 3.0, 2.0, 2.5], state=state, rng=7))
    >>> len(state), state.position
    (5, 5)
    >>> state.rollback(3)
    >>> state
    State(Sampler(FrequencyPenalty(0.5), TopK(3)), <2 tokens>, vocab=4)
    """

    __slots__ = ()

    @property
    def sampler(self) -> Sampler:
        """The Sampler that made it."""
        sampler: Any = self.plan
        return sampler  # type: ignore[no-any-return]

    @property
    def out_of_vocab(self) -> str:
        """What an id outside the vocabulary is: an "error" or a "placeholder"."""
        return "placeholder" if self._placeholders else "error"

    def _checked(self, tokens: Any) -> NDArray[np.int64]:
        """Token ids within the vocabulary."""
        several = hasattr(tokens, "__len__") and not isinstance(tokens, str) and getattr(tokens, "ndim", 1) > 0
        name, given = ("tokens", tokens) if several else ("token", [tokens])
        return _inputs.id_array(name, given) if self._placeholders else checked_tokens(name, given, self.vocab)

    def _checked_count(self, n: Any) -> int:
        """How many tokens a rollback takes."""
        if isinstance(n, bool) or not isinstance(n, int | np.integer):
            raise TypeError(f"n must be an integer, got {n!r}")
        if not 0 <= n <= len(self):
            raise ValueError(f"n must be in [0, {len(self)}], the number of tokens, got {n}")
        return int(n)

    def __repr__(self) -> str:
        fields = {
            "prompt_length": self.prompt_length or None,
            "position": None if self.position == len(self) else self.position,
            "key": self.key,
            "row": self.row or None,
            "vocab": self.vocab or None,
            "out_of_vocab": "'placeholder'" if self._placeholders else None,
        }
        rest = "".join(f", {name}={value}" for name, value in fields.items() if value is not None)
        return f"{type(self).__name__}({self.sampler!r}, <{len(self)} tokens>{rest})"

    def __reduce__(self) -> Any:
        fields = (self.sampler, self.row, self.tokens, self.prompt_length, self.key, self.position, self.vocab)
        return _restored, (type(self), *fields, self._memory(), self._named, self._placeholders)


def checked_tokens(name: str, tokens: Any, vocab: int) -> NDArray[np.int64]:
    """Token ids in [0, vocab), or in [0, 2^31 - 1) while that is 0."""
    ids = _inputs.id_array(name, tokens)
    bad = ids[(ids < 0) | (ids >= (vocab or _MOST_IDS))]
    if bad.size:
        raise ValueError(f"{name}: token id {bad[0]} must be in [0, {vocab or 'V'})")
    return ids


class Beginning(NamedTuple):
    """How a state begins, besides its context: the keywords of `Sampler.state` as they came."""

    prompt_length: Any
    row: Any
    key: Any
    position: Any
    vocab: Any
    out_of_vocab: Any


def made(sampler: Sampler, context: Any, given: Beginning) -> State:
    """`Sampler.state`."""
    size = 0 if given.vocab is None else _integer("vocab", given.vocab, 1)
    if size and not sampler.fits(size):
        raise ValueError(f"vocab must hold all tokens that the steps name, got {size}")
    tokens, placeholders = () if context is None else context, _inputs.placeholders(given.out_of_vocab)
    return _restored(
        State,
        sampler,
        _row(sampler, given.row),
        _inputs.id_array("context", tokens) if placeholders else checked_tokens("context", tokens, size),
        _integer("prompt_length", given.prompt_length, 0),
        None if given.key is None else _inputs.wrapped("key", given.key),
        None if given.position is None else _inputs.wrapped("position", given.position),
        size,
        None,  # nothing is remembered yet
        False,
        placeholders,
    )


def _restored(cls: type[State], *fields: Any) -> State:
    """A state of checked fields."""
    state: State = _core.sequence(cls, *fields)
    return state


def _integer(name: str, value: Any, low: int) -> int:
    """An integer >= low."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    number = operator.index(value)
    if not low <= number < 2**63:
        raise ValueError(f"{name} must be an integer >= {low}, got {shown(number)}")
    return number


def _row(sampler: Sampler, row: Any) -> int:
    """Whose parameters a state uses."""
    if sampler.shape is None:
        raise ValueError("a state needs a Sampler whose per-row parameters all form one axis of one length")
    if sampler.shape and row is None:
        raise ValueError(f"the Sampler has parameters of {sampler.shape[0]} rows: row= must say whose")
    number = 0 if row is None else _integer("row", row, 0)
    if sampler.shape and number >= sampler.shape[0]:
        raise ValueError(f"row must be in [0, {sampler.shape[0]}), got {number}")
    return number


def of_rows(state: Any, outer: tuple[int, ...], rows: int) -> tuple[State, ...]:
    """``state=`` as one State per row."""
    states = (state,) if isinstance(state, State) else tuple(state) if isinstance(state, list | tuple) else None
    if states is None or not all(isinstance(each, State) for each in states):
        raise TypeError(f"state must be a State or a list with one State per row, got {shown(state)}")
    if len(states) != rows or (isinstance(state, State) and outer not in ((), (1,))):
        raise ValueError(f"state must hold one State per row ({rows} rows), got {len(states)}")
    return states


def check_alone(given: Inputs) -> None:
    """A state brings its own context, prompt length, position and key."""
    for name in ("context", "prompt_length", "position", "keys"):
        value = getattr(given, name)
        if value is not None and not (name == "prompt_length" and type(value) is int and value == 0):
            raise TypeError(f"state brings its own {name}: pass one of the two")
    if given.out_of_vocab != "error":
        raise TypeError("state brings its own out_of_vocab: pass it to Sampler.state")


def check_fits(states: tuple[State, ...], n: int, plan: _core.Plan, mixed: bool = False) -> None:
    """States fit logits of ``n`` tokens, and the Sampler of the call unless each row has its own."""
    rows = plan.shape[0] if plan.shape else None if plan.shape is None else math.inf
    if rows is None:
        raise ValueError("state needs a Sampler whose per-row parameters all form one axis of one length")
    for r, state in enumerate(states):
        name = f"state[{r}]" if len(states) > 1 else "state"
        if state.vocab and state.vocab != n:
            raise ValueError(f"{name} has a vocabulary of {state.vocab} tokens, logits have {n}")
        if not (state.vocab or state._placeholders) and (largest := state._largest()) >= n:
            raise ValueError(f"{name}: token id {largest} must be in [0, {n})")
        if state.row >= rows:
            raise ValueError(f"{name} uses the parameters of row {state.row}, the Sampler has {rows} rows")
        if mixed or state.plan is plan:
            continue
        if _remembering(state.plan) != _remembering(plan):
            raise ValueError(f"{name} remembers for the steps of another Sampler")


def _remembering(plan: _core.Plan) -> list[tuple[int, Any]]:
    """The steps that remember something from token to token, with their places."""
    return [(i, step) for i, step in enumerate(plan.steps) if step.name in ("mirostat", "adaptive_p")]
