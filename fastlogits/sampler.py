"""Sampler: a pipeline prepared once and run on any number of rows."""

from __future__ import annotations

from typing import Any, NoReturn, Self

from fastlogits import _core, _inputs, _prepare, _run
from fastlogits import steps as s
from fastlogits._errors import refuse_row
from fastlogits._explain import Explanation, explain
from fastlogits._results import Candidates, SampleResult

__all__ = ["Candidates", "Explanation", "SampleResult", "Sampler"]

_PRESETS = ("hf", "vllm", "llama.cpp", "openvino", "mlx")


class Sampler(_core.Plan):
    """A pipeline: edits, temperature, cuts and a draw, prepared once, immutable, picklable.

    ``Sampler(*steps)`` runs steps of `fastlogits.steps` in the order written. ``Sampler(**keywords)`` runs those asked
    for in the order repetition_penalty, frequency_penalty, presence_penalty, logit_bias, mask, temperature, top_k,
    top_p, min_p. Each number is one for all rows or one per row (broadcast against the shape of the batch).

    Parameters
    ----------
    *steps : Step
        The steps; not together with keywords.
    temperature : float >= 0, default 1.0
        Divides the logits; 0 takes the first maximum.
    top_k : int >= -1, optional
        Keeps the k largest logits; None, 0, -1 and k >= V are off.
    top_p : float in [0, 1], optional
        Keeps the smallest set of likeliest tokens that reaches this probability; None and 1 are off.
    min_p : float in [0, 1], optional
        Keeps tokens at least this many times as likely as the likeliest; None and 0 are off.
    min_keep : int >= 1, default 1
        What every cut leaves at least.
    ties : "id" or "keep", default "id"
        Whether top_k keeps exactly k or also whatever equals the k-th value.
    joint : bool, default False
        top_p compares masses over what stood before top_k, without renormalising.
    repetition_penalty : float > 0, optional
        Divides positive and multiplies other logits of the tokens in the context; 1 is off.
    frequency_penalty, presence_penalty : float, optional
        Lower a token's logit per occurrence, or once if it occurs; 0 is off.
    penalty_window : int >= 0, optional
        How many tokens at the end of the context the penalties count; None: all.
    logit_bias : {id: bias}, or (ids, values), or a list of these per row, optional
        Added to logits; -inf bans.
    mask : bool [V] or [..., V], or int32 words [ceil(V / 32)] or [..., ceil(V / 32)], optional
        Bans what it does not allow; a shorter mask bans what lies beyond it.
    preset : None
        Presets of other systems' step orders are still to come.

    Attributes
    ----------
    steps : tuple of Step
        What runs, in order.

    Raises
    ------
    ValueError, TypeError
        A parameter out of range or of a wrong type; the message names it.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(temperature=0.8, top_k=2)
    >>> sampler
    Sampler(Temperature(0.8), TopK(2))
    >>> sampler == fl.Sampler(fl.steps.Temperature(0.8), fl.steps.TopK(2))
    True
    >>> sampler.sample([1.0, 3.0, 2.0], rng=7) in (1, 2)
    True
    >>> sampler.probs([1.0, 3.0, 2.0]).round(3)
    array([0.   , 0.777, 0.223])
    """

    __slots__ = ()

    def __init__(
        self,
        *steps: s.Step,
        temperature: Any = 1.0,
        top_k: Any = None,
        top_p: Any = None,
        min_p: Any = None,
        min_keep: Any = 1,
        ties: Any = "id",
        joint: Any = False,
        repetition_penalty: Any = None,
        frequency_penalty: Any = None,
        presence_penalty: Any = None,
        penalty_window: Any = None,
        logit_bias: Any = None,
        mask: Any = None,
        preset: str | None = None,
    ) -> None:
        if preset is not None:
            coming = ", ".join(repr(name) for name in _PRESETS)
            raise ValueError(f"preset must be None, got {preset!r}; presets to come: {coming}")
        keywords = (
            temperature, top_k, top_p, min_p, min_keep, ties, joint, repetition_penalty, frequency_penalty,
            presence_penalty, penalty_window, logit_bias, mask,
        )  # fmt: skip
        if not steps:
            steps = _keyword_steps(*keywords)
        elif any(map(_given, keywords, (1.0, None, None, None, 1, "id", False, *[None] * 6))):
            raise TypeError("a Sampler takes steps or keywords, not both")
        _prepare.check_order(steps)
        prepared = [_prepare.prepared(step) for step in steps]
        shape = _prepare.shape_of(prepared)
        self._fill(tuple(steps), tuple(_prepare.spread(prepared, shape) if shape else prepared), shape)

    # The short way for plain arguments lives in C; `_sample`, `_seed` and `_refuse` are what it leaves to Python.
    sample = _core.Plan.sample

    def probs(
        self,
        logits: Any,
        *,
        context: Any = None,
        prompt_length: Any = 0,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        out: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
    ) -> Any:
        """Probabilities of the survivors, renormalised; 0 where removed.

        Parameters
        ----------
        logits, context, prompt_length, rng, position, keys, threads, on_error
            As in `sample`; rng, position and keys matter to random steps only.
        out : array of the shape and type of logits, optional
            Receives the result; may be ``logits`` itself.

        Returns
        -------
        array [..., V] of the type of logits
            With ``on_error="status"`` the pair (array, status); a bad row holds NaN.

        Raises
        ------
        ValueError, TypeError
            As `sample`.

        Examples
        --------
        >>> import fastlogits as fl
        >>> fl.Sampler(top_k=2).probs([1.0, 3.0, 3.0])
        array([0. , 0.5, 0.5])
        """
        call = _run.Call(self, logits, context, prompt_length, position, keys, threads, on_error)
        return _run.dense(call, "probs", rng, out)

    def filter_logits(
        self,
        logits: Any,
        *,
        context: Any = None,
        prompt_length: Any = 0,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        out: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
    ) -> Any:
        """Processed logits, -inf where removed; each rounded once, at the end.

        Parameters
        ----------
        logits, context, prompt_length, rng, position, keys, threads, on_error
            As in `sample`; rng, position and keys matter to random steps only.
        out : array of the shape and type of logits, optional
            Receives the result; may be ``logits`` itself.

        Returns
        -------
        array [..., V] of the type of logits
            With ``on_error="status"`` the pair (array, status); a bad row holds NaN.

        Raises
        ------
        ValueError, TypeError
            As `sample`.

        Examples
        --------
        >>> import fastlogits as fl
        >>> fl.Sampler(temperature=0.5, top_k=2).filter_logits([1.0, 3.0, 2.0])
        array([-inf,   6.,   4.])
        """
        call = _run.Call(self, logits, context, prompt_length, position, keys, threads, on_error)
        return _run.dense(call, "logits", rng, out)

    def candidates(
        self,
        logits: Any,
        *,
        context: Any = None,
        prompt_length: Any = 0,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
    ) -> Any:
        """The survivors of each row, sorted by (logit descending, id ascending).

        Parameters
        ----------
        logits, context, prompt_length, rng, position, keys, threads, on_error
            As in `sample`; rng, position and keys matter to random steps only.

        Returns
        -------
        Candidates
            With ``on_error="status"`` the pair (Candidates, status); a bad row has none.

        Raises
        ------
        ValueError, TypeError
            As `sample`.

        Examples
        --------
        >>> import fastlogits as fl
        >>> fl.Sampler(top_k=2).candidates([1.0, 3.0, 2.0]).ids
        array([1, 2])
        """
        call = _run.Call(self, logits, context, prompt_length, position, keys, threads, on_error)
        return _run.candidates(call, rng)

    def explain(
        self,
        logits: Any,
        *,
        row: int = 0,
        context: Any = None,
        prompt_length: Any = 0,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
    ) -> Explanation:
        """What this Sampler does to a real row: the pass that ran, and what each step left.

        Parameters
        ----------
        logits, context, prompt_length, rng, position, keys
            As in `sample`.
        row : int, default 0
            Which row of a batch, in C order.

        Returns
        -------
        Explanation
            Its text is a table; its fields hold the numbers.

        Raises
        ------
        ValueError, TypeError
            As `sample`; a row out of range.

        Examples
        --------
        >>> import fastlogits as fl
        >>> e = fl.Sampler(temperature=0.5, top_k=2).explain([1.0, 3.0, 2.0, 0.0])
        >>> [(step.name, step.given, step.survived) for step in e.steps]
        [('temperature', 4, 4), ('top_k', 4, 2)]
        """
        _run.check_rng(rng)
        return explain(_run.Call(self, logits, context, prompt_length, position, keys, 1, "raise"), row)

    def _sample(self, *arguments: Any) -> Any:
        return _run.sample(self, *arguments)

    def _seed(self, rng: Any) -> int:
        return _inputs.seed_word(rng)

    def _refuse(self, outer: Any, row: int, status: int, step: int, value: float, n: int) -> NoReturn:
        refuse_row(outer, row, status, step, value, n, [each.name for each in self.steps])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.steps))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sampler) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash(self.steps)

    def __reduce__(self) -> tuple[type[Self], tuple[s.Step, ...]]:
        return type(self), self.steps


def _keyword_steps(
    temperature: Any, top_k: Any, top_p: Any, min_p: Any, min_keep: Any, ties: Any, joint: Any,
    repetition_penalty: Any, frequency_penalty: Any, presence_penalty: Any, penalty_window: Any, logit_bias: Any,
    mask: Any,
) -> tuple[s.Step, ...]:  # fmt: skip
    """The steps of the keyword form; keywords at their off value make no step."""
    window, keep = penalty_window, min_keep
    # Made even if nothing uses them, so that a bad value of a shared keyword never passes unseen.
    s.TopK(None, keep, ties, joint)
    s.RepetitionPenalty(1.0, window)
    made: list[tuple[s.Step | None, Any]] = [
        (None if repetition_penalty is None else s.RepetitionPenalty(repetition_penalty, window), 1.0),
        (None if frequency_penalty is None else s.FrequencyPenalty(frequency_penalty, window), 0.0),
        (None if presence_penalty is None else s.PresencePenalty(presence_penalty, window), 0.0),
        (None if logit_bias is None else s.LogitBias(logit_bias), None),
        (None if mask is None else s.Mask(mask), None),
        (None if temperature is None else s.Temperature(temperature), 1.0),
        (None if top_k is None else s.TopK(top_k, keep, ties, joint), 0),
        (None if top_p is None else s.TopP(top_p, keep, joint), 1.0),
        (None if min_p is None else s.MinP(min_p, keep), 0.0),
    ]
    return tuple(step for step, off in made if step is not None and not _is_off(step, off))


def _given(value: Any, default: Any) -> bool:
    """Whether a keyword has another value than its default."""
    return value is not default and not (isinstance(value, type(default)) and value == default)


def _is_off(step: s.Step, off: Any) -> bool:
    """Whether a step's parameter is the number that turns it off."""
    if off is None:
        return False
    value = next(iter(vars(step).values()))
    return not isinstance(value, tuple) and (value == off or (isinstance(step, s.TopK) and value < 1))
