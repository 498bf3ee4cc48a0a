"""Steps that ban, raise or force tokens by the length of the context; see `fastlogits.steps`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastlogits._common import params
from fastlogits._common.docs import shared
from fastlogits.steps import operands as _edits
from fastlogits.steps.base import Step
from fastlogits.steps.operands import Lists

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "BeginSuppressTokens",
    "ExponentialDecayLengthPenalty",
    "ForcedBosToken",
    "ForcedEosToken",
    "MinLength",
    "MinNewTokens",
]


@dataclass(frozen=True, repr=False)
class BeginSuppressTokens(Step):
    """Bans tokens at one place: where the context holds ``begin_index`` tokens.

    Parameters
    ----------
    ids : sequence of token ids in [0, V), or one (or None) per row
    begin_index : int >= 0 or None
        None: the ``prompt_length`` of the call, so that the tokens are banned as the first of the output. Default None.

    Notes
    -----
    transformers' ``SuppressTokensAtBeginLogitsProcessor``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.BeginSuppressTokens([2]))
    >>> sampler.filter_logits([2.0, -1.0, 3.0], context=[1], prompt_length=1)
    array([  2.,  -1., -inf])
    >>> sampler.filter_logits([2.0, -1.0, 3.0], context=[1, 0], prompt_length=1)
    array([ 2., -1.,  3.])
    """

    name: ClassVar[str] = "begin_suppress_tokens"
    ids: Any
    begin_index: Any = None

    def __post_init__(self) -> None:
        self._set(
            ids=_edits.token_rows(self.name, self.ids),
            begin_index=params.integer("begin_index", self.begin_index, 0, off=None),
        )

    def _lists(self) -> Lists:
        return _edits.id_lists(self.name, self.ids, -math.inf)


@dataclass(frozen=True, repr=False)
class ForcedBosToken(Step):
    """Leaves one token, with logit 0, where the context holds one token.

    Several ids are all left. Earlier steps have no effect.

    Parameters
    ----------
    ids : token id in [0, V), or sequence of them, or one of these (or None) per row

    Notes
    -----
    transformers' ``ForcedBOSTokenLogitsProcessor``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.ForcedBosToken(1))
    >>> sampler.filter_logits([2.0, -1.0, 3.0], context=[0])
    array([-inf,   0., -inf])
    >>> sampler.filter_logits([2.0, -1.0, 3.0], context=[0, 1])
    array([ 2., -1.,  3.])
    """

    name: ClassVar[str] = "forced_bos_token"
    ids: Any

    def __post_init__(self) -> None:
        self._set(ids=_edits.token_rows("forced_bos_token_id", self.ids))

    def _lists(self) -> Lists:
        return _edits.id_lists("forced_bos_token_id", self.ids)

    def _words(self) -> NDArray[np.uint32]:
        return _edits.allowed_words(self.ids)


@dataclass(frozen=True, repr=False)
class ForcedEosToken(Step):
    """Leaves the end-of-sequence tokens, with logit 0, where the next token is number ``max_length``.

    That is where the context, prompt included, holds ``max_length - 1`` tokens. The effect of earlier steps
    is undone.

    Parameters
    ----------
    ids : token id in [0, V), or sequence of them, or one of these (or None) per row
    max_length : int >= 1

    Notes
    -----
    transformers' ``ForcedEOSTokenLogitsProcessor``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.ForcedEosToken(1, max_length=3))
    >>> sampler.filter_logits([2.0, -1.0, 3.0], context=[0, 2])
    array([-inf,   0., -inf])
    """

    name: ClassVar[str] = "forced_eos_token"
    ids: Any
    max_length: Any = None

    def __post_init__(self) -> None:
        self._set(
            ids=_edits.token_rows("forced_eos_token_id", self.ids),
            max_length=params.integer("max_length", self.max_length, 1, off=None),
        )
        if self.ids and self.max_length is None:
            raise ValueError("forced_eos_token_id needs max_length")

    def _lists(self) -> Lists:
        return _edits.id_lists("forced_eos_token_id", self.ids)

    def _words(self) -> NDArray[np.uint32]:
        return _edits.allowed_words(self.ids)


def _eos(step: str, on: Any, ids: Any) -> tuple[Any, ...]:
    """Checked end-of-sequence tokens, at least one where the step is on."""
    checked = _edits.token_rows("eos_token_id", ids)
    if on and not checked:
        raise ValueError(f"{step} needs eos_token_id")
    return checked


@dataclass(frozen=True, repr=False)
class _NoEndYet(Step):
    """Bans the end-of-sequence tokens up to a length."""

    n: Any
    ids: Any = ()

    def __post_init__(self) -> None:
        self._set(n=params.integer(self.name, self.n, 0, off=0))
        self._set(ids=_eos(self.name, self.n, self.ids))

    def _lists(self) -> Lists:
        return _edits.id_lists("eos_token_id", self.ids, -math.inf)


@shared
@dataclass(frozen=True, repr=False)
class MinLength(_NoEndYet):
    """Bans the end-of-sequence tokens while the context, prompt included, holds less than n tokens.

    Parameters
    ----------
    n : int >= 0 or None
        None and 0 are off.
    {ids at the end}

    Notes
    -----
    transformers' ``MinLengthLogitsProcessor``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.MinLength(2, [2]))
    >>> sampler.filter_logits([2.0, -1.0, 3.0], context=[1])
    array([  2.,  -1., -inf])
    >>> sampler.filter_logits([2.0, -1.0, 3.0], context=[1, 0])
    array([ 2., -1.,  3.])
    """

    name: ClassVar[str] = "min_length"


@dataclass(frozen=True, repr=False)
class MinNewTokens(_NoEndYet):
    """Bans the end-of-sequence tokens while ``context[prompt_length:]`` holds less than n tokens.

    Parameters
    ----------
    n : int >= 0 or None
        None and 0 are off.
    ids : token id in [0, V), or sequence of them, or one of these (or None) per row
        The tokens that end a text; vLLM counts its stop token ids among them.

    Notes
    -----
    transformers' ``MinNewTokensLengthLogitsProcessor``, vLLM's ``min_tokens``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.MinNewTokens(1, [2]))
    >>> sampler.filter_logits([2.0, -1.0, 3.0], context=[1, 0], prompt_length=2)
    array([  2.,  -1., -inf])
    """

    name: ClassVar[str] = "min_new_tokens"


@shared
@dataclass(frozen=True, repr=False)
class ExponentialDecayLengthPenalty(Step):
    """Makes the end-of-sequence tokens ever likelier after a number of new tokens.

    With k = len(context) - prompt_length - start > 0: l + |l| (factor^k - 1). factor^k grows to e^69 at most.

    Parameters
    ----------
    penalty : pair (start, factor), or None
        start, int >= 0, is the number of new tokens up to which nothing happens; factor > 0 the growth per token.
        Either may be one value per row. None is off.
    {ids at the end}

    Notes
    -----
    transformers' ``ExponentialDecayLengthPenalty``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> sampler = fl.Sampler(fl.steps.ExponentialDecayLengthPenalty((1, 2.0), [0, 1]))
    >>> sampler.filter_logits([2.0, -1.0, 3.0], context=[1, 0, 1], prompt_length=0)
    array([8., 2., 3.])
    """

    name: ClassVar[str] = "exponential_decay_length_penalty"
    penalty: Any
    ids: Any = ()

    def __post_init__(self) -> None:
        pair = (0, 1.0) if self.penalty is None else self.penalty
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"{self.name} must be a pair (start, factor), got {params.shown(pair)}")
        start = params.integer(f"{self.name}: start", pair[0], 0, off=0)
        factor = params.number(f"{self.name}: factor", pair[1], 0.0, off=1.0, open_low=True)
        self._set(penalty=(start, factor), ids=_eos(self.name, self.penalty is not None, self.ids))

    def _numbers(self) -> list[Any]:
        return list(self.penalty)

    def _lists(self) -> Lists:
        return _edits.id_lists("eos_token_id", self.ids)
