"""Batch: sequences that join, leave and change places while a model runs, each with its own Sampler."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from fastlogits._common import inputs as _inputs
from fastlogits._common.call_inputs import BatchInputs, defaults_of, signed
from fastlogits._common.docs import shared
from fastlogits.sampling import call as _run
from fastlogits.sampling import draw as _draw
from fastlogits.sampling.sampler import Sampler
from fastlogits.sampling.state import State

__all__ = ["Batch"]


class Batch:
    """Continuous batching: one call for rows with different Samplers and states.

    Row i of the logits belongs to ``handles[i]``. Each sequence keeps its random stream: its handle, or its state's own
    ``key``. So a sequence gets the tokens that it would get alone, whoever stands next to it and wherever.
    A copy of the batch has its own states; a batch is picklable.

    Attributes
    ----------
    handles : tuple of int
        Those of the rows, in order.

    Examples
    --------
    >>> import fastlogits as fl
    >>> batch = fl.Batch()
    >>> greedy = batch.add(fl.Sampler(top_k=1), context=[1, 2])
    >>> other = batch.add(fl.Sampler(temperature=0.7, top_p=0.9, repetition_penalty=1.2))
    >>> logits = [[1.0, 3.0, 2.0], [2.5, 1.0, 2.0]]
    >>> batch.accept(batch.sample(logits, rng=7))
    >>> batch[greedy].tokens
    array([1, 2, 1])
    >>> batch.remove(greedy).tokens, len(batch)
    (array([1, 2, 1]), 1)
    """

    def __init__(self) -> None:
        self._rows: dict[int, State] = {}
        self._next = 0

    @property
    def handles(self) -> tuple[int, ...]:
        """Handles of the rows, in order."""
        return tuple(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, handle: int) -> State:
        if handle not in self._rows:
            raise KeyError(f"handle {handle!r} is not in the batch")
        return self._rows[handle]

    def __copy__(self) -> Batch:
        """Another batch with the same handles, and copies of the states."""
        other = type(self)()
        other._rows = {handle: state.copy() for handle, state in self._rows.items()}
        other._next = self._next
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Batch:
        return self.__copy__()

    def __repr__(self) -> str:
        rows = "".join(f"\n  {handle}: {state!r}" for handle, state in self._rows.items())
        return f"<Batch of {len(self)}>{rows}"

    def add(self, what: State | Sampler, context: Any = None, **inputs: Any) -> int:
        """A sequence joins as the last row.

        Parameters
        ----------
        what : State or Sampler
            A state, of which the batch takes a copy; or a Sampler, whose `Sampler.state` is made.
        context, **inputs
            Arguments of `Sampler.state`, with a Sampler only.

        Returns
        -------
        int
            Its handle: 0, 1, 2 and so on, never used twice.

        Raises
        ------
        ValueError, TypeError
            As `Sampler.state`; the batch stays as it was.
        """
        if isinstance(what, State):
            if context is not None or inputs:
                raise TypeError("a State brings its own context and inputs")
            state = what.copy()
        elif isinstance(what, Sampler):
            state = what.state(context, **inputs)
        else:
            raise TypeError(f"a Batch takes a State or a Sampler, got {type(what).__name__}")
        if state.key is None:
            state._name(self._next)
        self._rows[self._next] = state
        self._next += 1
        return self._next - 1

    def remove(self, handle: int) -> State:
        """A sequence leaves; the rows after it move up.

        Parameters
        ----------
        handle : int
            What `add` returned.

        Returns
        -------
        State
            Of the sequence.

        Raises
        ------
        KeyError
            No such handle.
        """
        state = self[handle]
        del self._rows[handle]
        return state

    def reorder(self, handles: Iterable[int]) -> None:
        """Puts the rows into another order.

        Parameters
        ----------
        handles : ints
            All handles of the batch, each once.

        Raises
        ------
        ValueError
            Others than these; the batch stays as it was.
        """
        order = list(handles)
        if len(order) != len(self) or set(order) != set(self._rows):
            raise ValueError(f"handles must be those of the batch, each once: {list(self._rows)}, got {order}")
        self._rows = {handle: self._rows[handle] for handle in order}

    @signed(BatchInputs)
    @shared
    def sample(
        self,
        logits: Any,
        *,
        logprobs: int | None = None,
        logprobs_mode: str = "processed",
        out: Any = None,
        **inputs: Unpack[BatchInputs],
    ) -> Any:
        """Draw one token per row, each by its own Sampler and state; no state changes.

        Parameters
        ----------
        logits : array_like [len(batch), V]
            Row i is that of ``handles[i]``.
        {inputs of a batch}
        logprobs, logprobs_mode, out
            As in `Sampler.sample`.
        uncond, amateur, expert, anti : array of the shape and type of logits, or list of rows [V] and None
            Row i: what the first step of that Sampler combines with row i of the logits; rows of Samplers that
            combine none are not read, and None in a list.

        Returns
        -------
        int64 array [len(batch)]
            The drawn ids; or a SampleResult; or (either, status) with ``on_error="status"``.

        Raises
        ------
        ValueError, TypeError
            As `Sampler.sample`.
        """
        given = _run.taken("sample", inputs, defaults_of(BatchInputs))
        wanted = _draw.Wanted(logprobs=logprobs, logprobs_mode=logprobs_mode, out=out)
        return _draw.sample(_run.MixedCall(tuple(self._rows.values()), logits, given), wanted)

    def accept(self, ids: Any) -> None:
        """Each row's state accepts its token: all of them, or none if one is bad.

        Parameters
        ----------
        ids : int64 array [len(batch)]
            One id per row; -1 (a row that failed under ``on_error="status"``) is left out.

        Raises
        ------
        ValueError, TypeError
            Not one id per row, or one outside the vocabulary, with the row; no state changes.
        """
        tokens = _inputs.id_array("ids", ids).tolist()
        if len(tokens) != len(self):
            raise ValueError(f"ids must hold one token per row ({len(self)} rows), got {len(tokens)}")
        states = list(self._rows.values())
        for row, (token, state) in enumerate(zip(tokens, states, strict=True)):
            if state.out_of_vocab == "error" and not -1 <= token < (state.vocab or 2**31 - 1):
                raise ValueError(f"ids[{row}]: token id {token} must be in [0, {state.vocab or 'V'})")
        for token, state in zip(tokens, states, strict=True):
            if token != -1:
                state.accept(token)
