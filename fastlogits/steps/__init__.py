"""The steps of a pipeline, to be run in the order written: ``Sampler(TopK(50), Temperature(0.8))``.

Each step is a small frozen dataclass. A numeric parameter is one number for all rows or one per row (a sequence or an
array, kept as a tuple); None means off. Values outside the range are an error here, when the step is made. ``name`` is
the step's name in ``csrc/steps/steps.def``, in `fastlogits.reference` and in error messages.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastlogits._common import params
from fastlogits._common.docs import shared
from fastlogits.steps.base import Step
from fastlogits.steps.combine import Contrastive, DExperts, Guidance
from fastlogits.steps.distribution import (
    DynamicTemperature,
    EpsilonCutoff,
    EtaCutoff,
    MinK,
    PLess,
    Smoothing,
    Tfs,
    TopA,
    TopH,
    TopNSigma,
    TypicalP,
    Xtc,
)
from fastlogits.steps.feedback import AdaptiveP, Mirostat, Skew
from fastlogits.steps.operands import Lists, bias_arrays, checked_bias, checked_mask, mask_words, same_bias, same_mask
from fastlogits.steps.repeats import Dry, EncoderNoRepeatNgram, NoRepeatNgram
from fastlogits.steps.tokens import (
    AllowedTokens,
    BadWords,
    BeginSuppressTokens,
    EncoderRepetitionPenalty,
    ExponentialDecayLengthPenalty,
    ForcedBosToken,
    ForcedEosToken,
    MinLength,
    MinNewTokens,
    RemoveInvalidValues,
    RenormalizeLogits,
    SequenceBias,
    SuppressTokens,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "AdaptiveP", "AllowedTokens", "BadWords", "BeginSuppressTokens", "Contrastive", "DExperts", "Draw", "Dry",
    "DynamicTemperature", "EncoderNoRepeatNgram", "EncoderRepetitionPenalty", "EpsilonCutoff", "EtaCutoff",
    "ExponentialDecayLengthPenalty", "ForcedBosToken", "ForcedEosToken", "FrequencyPenalty", "Greedy", "Guidance",
    "Gumbel", "LogitBias", "Mask", "MinK", "MinLength", "MinNewTokens", "MinP", "Mirostat", "NoRepeatNgram",
    "PLess", "PresencePenalty", "RemoveInvalidValues", "RenormalizeLogits", "RepetitionPenalty", "SequenceBias",
    "Skew", "Smoothing", "Step", "SuppressTokens", "Temperature", "Tfs", "TopA", "TopH", "TopK", "TopNSigma",
    "TopP", "TypicalP", "Xtc",
]  # fmt: skip

# As NumPy shortens long arrays.
_BIASES = reprlib.Repr()
_BIASES.maxdict = _BIASES.maxlist = 64
_BIASES.maxother = 100_000


@dataclass(frozen=True, repr=False)
class RepetitionPenalty(Step):
    """Divides positive logits of tokens already seen by theta and multiplies the others by it.

    Once per distinct token of ``context[-window:]``: l > 0 ? l / theta : l * theta.

    Parameters
    ----------
    theta : float > 0
        1 is off; above 1 makes repetition less likely. Default 1.
    window : int >= 0 or None
        Only the last ``window`` tokens of the context count. None: all of them.
    prompt : bool
        Whether the first ``prompt_length`` tokens of the context count. Default True.
    decay : int >= 0
        Before the window theta falls linearly to 1 over this many tokens (exllamav2). r tokens after its last
        occurrence a token has 1 + (theta - 1) (1 - (r - window) / decay). 0: it ends with the window. Default 0.
    slope : float in [0, 1]
        Tokens that occur in the older half of the window only have 1 + (theta - 1) slope (koboldcpp). Default 1.

    Notes
    -----
    Keskar et al., "CTRL: A Conditional Transformer Language Model for Controllable Generation", 2019.

    Examples
    --------
    >>> import fastlogits as fl
    >>> row = [2.0, -1.0, 3.0, 0.5]
    >>> fl.Sampler(fl.steps.RepetitionPenalty(2.0)).filter_logits(row, context=[1, 2, 2])
    array([ 2. , -2. ,  1.5,  0.5])
    """

    name: ClassVar[str] = "repetition_penalty"
    theta: Any = 1.0
    window: Any = None
    prompt: Any = True
    decay: Any = 0
    slope: Any = 1.0

    def __post_init__(self) -> None:
        self._set(
            theta=params.number("repetition_penalty", self.theta, 0.0, off=1.0, open_low=True),
            window=params.integer("penalty_window", self.window, 0, off=None),
            prompt=params.flag("penalty_prompt", self.prompt, off=True),
            decay=params.integer("penalty_decay", self.decay, 0, off=0),
            slope=params.number("penalty_slope", self.slope, 0.0, 1.0, off=1.0),
        )


@dataclass(frozen=True, repr=False)
class _Counted(Step):
    """A penalty by how often a token occurs."""

    alpha: Any = 0.0
    window: Any = None
    prompt: Any = False

    def __post_init__(self) -> None:
        self._set(
            alpha=params.number(self.name, self.alpha, off=0.0),
            window=params.integer("penalty_window", self.window, 0, off=None),
            prompt=params.flag("penalty_prompt", self.prompt, off=False),
        )


@shared
@dataclass(frozen=True, repr=False)
class FrequencyPenalty(_Counted):
    """Lowers the logit of a token by alpha for each time it occurs.

    l - count * alpha, counting ``context[prompt_length:][-window:]`` (OpenAI's parameter of that name).

    Parameters
    ----------
    alpha : float
        Finite; 0 is off. Default 0.
    {counted}

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.FrequencyPenalty(0.5)).filter_logits([2.0, -1.0, 3.0], context=[1, 2, 2])
    array([ 2. , -1.5,  2. ])
    """

    name: ClassVar[str] = "frequency_penalty"


@shared
@dataclass(frozen=True, repr=False)
class PresencePenalty(_Counted):
    """Lowers the logit of a token by alpha if it occurs at all.

    l - alpha where ``context[prompt_length:][-window:]`` holds the token (OpenAI's parameter of that name).

    Parameters
    ----------
    alpha : float
        Finite; 0 is off. Default 0.
    {counted}

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.PresencePenalty(0.5)).filter_logits([2.0, -1.0, 3.0], context=[1, 2, 2])
    array([ 2. , -1.5,  2.5])
    """

    name: ClassVar[str] = "presence_penalty"


@dataclass(frozen=True, repr=False, eq=False)
class LogitBias(Step):
    """Adds a bias to the logits of some tokens; -inf bans a token.

    Parameters
    ----------
    bias : mapping {id: bias}, or tuple (ids, values), or a list with one of these (or None) per row
        ids are integers in [0, V), each at most once in a row; values are finite or -inf.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.LogitBias({0: 2.5, 2: -float("inf")})).filter_logits([2.0, -1.0, 3.0])
    array([ 4.5, -1. , -inf])
    """

    name: ClassVar[str] = "logit_bias"
    bias: Any

    def __post_init__(self) -> None:
        self._set(bias=checked_bias(self.bias))

    def _lists(self) -> Lists:
        return bias_arrays(self.bias)

    def __repr__(self) -> str:
        few = bias_arrays(self.bias).ids.size <= _BIASES.maxdict
        return f"LogitBias({repr(self.bias) if few else _BIASES.repr(self.bias)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LogitBias) and same_bias(self.bias, other.bias)

    __hash__ = None  # type: ignore[assignment]  # holds arrays


@dataclass(frozen=True, repr=False, eq=False)
class Mask(Step):
    """Bans every token that the mask does not allow.

    Parameters
    ----------
    mask : bool array [V] or [..., V], or int32 or uint32 array [ceil(V / 32)] or [..., ceil(V / 32)]
        True, or bit i % 32 of word i // 32 set, allows token i (the layout of xgrammar and llguidance). A shorter
        mask bans the tokens beyond it; words may be padded. They are not copied: a call sees what they hold at that
        time, so a grammar may fill them anew for each token.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Mask([True, False, True])).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    >>> import numpy as np
    >>> fl.Sampler(fl.steps.Mask(np.array([0b011], np.int32))).filter_logits([2.0, -1.0, 3.0])
    array([  2.,  -1., -inf])
    """

    name: ClassVar[str] = "mask"
    mask: Any

    def __post_init__(self) -> None:
        self._set(mask=checked_mask(self.mask))

    def _words(self) -> NDArray[np.uint32]:
        return mask_words(self.mask)

    def __repr__(self) -> str:
        mask: np.ndarray[Any, Any] = self.mask
        return f"Mask(<{mask.dtype} {list(mask.shape)}>)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and same_mask(self.mask, other.mask)

    __hash__ = None  # type: ignore[assignment]  # holds an array


@dataclass(frozen=True, repr=False)
class Temperature(Step):
    """Divides the logits by the temperature; 0 keeps the first maximum alone (greedy).

    Parameters
    ----------
    temperature : float >= 0
        Finite; 1 is off. At 0 the maximum keeps its undivided logit.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Temperature(0.5)).filter_logits([2.0, -1.0, 3.0])
    array([ 4., -2.,  6.])
    """

    name: ClassVar[str] = "temperature"
    temperature: Any = 1.0

    def __post_init__(self) -> None:
        self._set(temperature=params.number(self.name, self.temperature, 0.0, off=1.0))


@shared
@dataclass(frozen=True, repr=False)
class TopK(Step):
    """Keeps the k largest logits, ties broken by the smaller token id.

    Parameters
    ----------
    k : int >= -1 or None
        None, 0, -1 and k >= V are off.
    {min_keep}
    ties : "id" or "keep"
        "id" keeps exactly k; "keep" also keeps all tokens that equal the k-th value (Hugging Face's rule).
    joint : bool
        The masses before this cut are remembered for every later ``TopP(joint=True)``.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopK(2)).filter_logits([2.0, -1.0, 3.0, 2.0])
    array([  2., -inf,   3., -inf])
    >>> fl.Sampler(fl.steps.TopK(2, ties="keep")).filter_logits([2.0, -1.0, 3.0, 2.0])
    array([  2., -inf,   3.,   2.])
    """

    name: ClassVar[str] = "top_k"
    k: Any
    min_keep: Any = 1
    ties: Any = "id"
    joint: Any = False

    def __post_init__(self) -> None:
        self._set(k=params.integer(self.name, self.k, -1, off=0))


@shared
@dataclass(frozen=True, repr=False)
class TopP(Step):
    """Keeps the smallest set of most likely tokens whose probability reaches p (nucleus sampling).

    The sum runs in double over the sorted survivors, renormalized; the token that reaches p is kept. Its terms are
    exponentials of float32 accuracy: where a prefix holds p to within 1e-7, the cut may fall on either side of the
    exact one, on every machine the same. float64 rows are cut by double exponentials.

    Parameters
    ----------
    p : float in [0, 1] or None
        None and 1 are off; 0 keeps one token.
    {min_keep}
    joint : bool
        Compares masses and their total as they stood at the plan's first joint cut, without renormalizing (the rule
        of SGLang and FlashInfer).
    strict : bool
        The probability must exceed p (the rule of OpenVINO GenAI and SGLang). Default False.

    Notes
    -----
    Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopP(0.8)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "top_p"
    p: Any
    min_keep: Any = 1
    joint: Any = False
    strict: Any = False

    def __post_init__(self) -> None:
        self._set(p=params.number(self.name, self.p, 0.0, 1.0, off=1.0))


@shared
@dataclass(frozen=True, repr=False)
class MinP(Step):
    """Keeps the tokens at least p times as likely as the most likely one: l >= max + ln p.

    Parameters
    ----------
    p : float in [0, 1] or None
        None and 0 are off.
    {min_keep}

    Notes
    -----
    Nguyen et al., "Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs", 2024.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.MinP(0.1)).filter_logits([2.0, -1.0, 3.0])
    array([  2., -inf,   3.])
    """

    name: ClassVar[str] = "min_p"
    p: Any
    min_keep: Any = 1

    def __post_init__(self) -> None:
        self._set(p=params.number(self.name, self.p, 0.0, 1.0, off=0.0))


@dataclass(frozen=True, repr=False)
class Draw(Step):
    """Draws the token: the first survivor in id order whose running mass exceeds u * total. Must be the last step.

    `Sampler.sample` draws without it as well; written out it marks the end of a list of steps.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.TopK(1), fl.steps.Draw()).sample([2.0, -1.0, 3.0], rng=7)
    2
    """

    name: ClassVar[str] = "draw"


@dataclass(frozen=True, repr=False)
class Gumbel(Step):
    """Draws by Gumbel-max: the token with the largest l_i - ln e_i, e_i ~ Exp(1). Replaces `Draw`.

    Each token of a row has its own noise, a function of (seed, key, position, id) alone. So a filter that leaves
    the drawn token alive does not change the draw, rows that are alike mostly draw alike under one seed, and shards of
    a vocabulary are merged by a maximum (`fastlogits.gumbel_max`). Equal values: the lower id. Where the largest logit
    is 2^20 or more away from 0, logits count from it before noise is added, so the draw is right for any magnitude.

    Notes
    -----
    Gumbel, "Statistical Theory of Extreme Values and Some Practical Applications", 1954; Maddison, Tarlow and Minka,
    "A* Sampling", 2014, for noise made from the top down: the least e of 256 tokens comes first, and of most blocks
    no other is ever made. Where nothing asks for probabilities one scan of the row is enough.

    Examples
    --------
    >>> import fastlogits as fl
    >>> row = [2.0, -1.0, 3.0, 1.0]
    >>> fl.Sampler(fl.steps.Gumbel()).sample(row, rng=7) == fl.sample(row, rng=7, draw="gumbel")
    True
    >>> fl.sample(row, rng=7, draw="gumbel") == fl.sample(row, rng=7, draw="gumbel", logit_bias={1: -5.0})
    True
    """

    name: ClassVar[str] = "gumbel"


@dataclass(frozen=True, repr=False)
class Greedy(Step):
    """Keeps the first maximum alone.

    Examples
    --------
    >>> import fastlogits as fl
    >>> fl.Sampler(fl.steps.Greedy()).sample([2.0, -1.0, 3.0])
    2
    """

    name: ClassVar[str] = "greedy"
