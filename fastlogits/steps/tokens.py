"""Steps that name tokens and do not depend on the length of the context; see `fastlogits.steps`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastlogits._common import params
from fastlogits.steps import operands as _edits
from fastlogits.steps.base import Step
from fastlogits.steps.operands import Lists

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AllowedTokens", "EncoderRepetitionPenalty", "SuppressTokens"]


@dataclass(frozen=True, repr=False)
class EncoderRepetitionPenalty(Step):
    """Makes the tokens of the encoder's input likelier: the repetition penalty of 1 / theta on them.

    Once per distinct token: l > 0 ? l * theta : l / theta.

    Parameters
    ----------
    theta : float > 0
        1 is off; above 1 favours what the input holds. Default 1.
    ids : sequence of token ids, or one per row
        The encoder's input, or a prompt to stay close to. Needed unless the step is off.

    Notes
    -----
    transformers' ``EncoderRepetitionPenaltyLogitsProcessor``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.EncoderRepetitionPenalty(2.0, [0, 1])).filter_logits([-0.1, 0.1, 0.3])
    array([-0.05,  0.2 ,  0.3 ])
    """

    name: ClassVar[str] = "encoder_repetition_penalty"
    theta: Any = 1.0
    ids: Any = None

    def __post_init__(self) -> None:
        self._set(theta=params.number(self.name, self.theta, 0.0, off=1.0, open_low=True))
        _edits.check_given(self.name, self.theta != 1, "encoder_ids", self.ids)
        self._set(ids=_edits.token_rows("encoder_ids", self.ids))

    def _lists(self) -> Lists:
        return _edits.id_lists("encoder_ids", self.ids)


@dataclass(frozen=True, repr=False)
class SuppressTokens(Step):
    """Bans tokens.

    Parameters
    ----------
    ids : sequence of token ids in [0, V), or one (or None) per row

    Notes
    -----
    transformers' ``SuppressTokensLogitsProcessor``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.SuppressTokens([0, 2])).filter_logits([2.0, -1.0, 3.0])
    array([-inf,  -1., -inf])
    """

    name: ClassVar[str] = "suppress_tokens"
    ids: Any

    def __post_init__(self) -> None:
        self._set(ids=_edits.token_rows(self.name, self.ids))

    def _lists(self) -> Lists:
        return _edits.id_lists(self.name, self.ids, -math.inf)


@dataclass(frozen=True, repr=False)
class AllowedTokens(Step):
    """Bans every token but those named.

    Parameters
    ----------
    ids : sequence of at least one token id in [0, V), or one (or None: all tokens) per row

    Notes
    -----
    vLLM's ``allowed_token_ids``, what transformers' ``prefix_allowed_tokens_fn`` returns.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.AllowedTokens([0, 1])).filter_logits([2.0, -1.0, 3.0])
    array([  2.,  -1., -inf])
    """

    name: ClassVar[str] = "allowed_tokens"
    ids: Any

    def __post_init__(self) -> None:
        ids = _edits.token_rows("allowed_token_ids", self.ids)
        empty = [(row,) for row, each in enumerate(ids) if each == ()] if ids or self.ids is None else [()]
        if empty:
            raise ValueError(f"allowed_token_ids must hold at least one token id, got none{params.row_note(empty[0])}")
        self._set(ids=None if self.ids is None else ids)

    def _lists(self) -> Lists:
        return _edits.id_lists("allowed_token_ids", self.ids or ())

    def _words(self) -> NDArray[np.uint32]:
        return _edits.allowed_words(self.ids or ())
