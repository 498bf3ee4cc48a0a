"""Sampler: a pipeline prepared once and run on any number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack

import fastlogits._core as _core
from fastlogits import steps as s
from fastlogits._common import seeds as _seeds
from fastlogits._common.call_inputs import Inputs
from fastlogits._common.errors import Fault, Status, refuse_row
from fastlogits._common.familiar import refuse_unknown
from fastlogits.sampling import beside as _beside
from fastlogits.sampling import call as _run
from fastlogits.sampling import draw as _draw
from fastlogits.sampling import prepare as _prepare
from fastlogits.sampling import reminders as _reminders
from fastlogits.sampling import state as _state
from fastlogits.sampling.builders import Builders
from fastlogits.sampling.explain import Explanation
from fastlogits.sampling.keywords import KEYWORDS, Steering, documented, keyword_steps, spelled_out
from fastlogits.sampling.outputs import Outputs
from fastlogits.sampling.results import Candidates, GumbelMax, SampleResult
from fastlogits.sampling.searches import Searches

if TYPE_CHECKING:
    from fastlogits.sampling.state import State

__all__ = ["Candidates", "Explanation", "GumbelMax", "SampleResult", "Sampler"]


class Sampler(Builders, Outputs, Searches):
    """A pipeline: edits, temperature, cuts and a draw, prepared once, immutable, picklable.

    ``Sampler(*steps)`` runs steps of `fastlogits.steps` in the order written. ``Sampler(**keywords)`` runs those asked
    for in the order {order}. Each number is one for all rows or one per row (broadcast against the shape of the batch).
    `fastlogits.steps` says what each of them does, and where it comes from.

    Parameters
    ----------
    *steps : Step
        The steps; not together with keywords.
    guidance_scale : float, optional
        Classifier-free guidance u + s (c - u) with the rows ``uncond=`` of the call; ``guidance_space`` is "logprobs"
        (default) or "raw".
    contrastive_alpha : float in [0, 1], optional
        Contrastive decoding against the rows ``amateur=`` of the call; with ``contrastive_beta`` its weighted form.
    dexperts_alpha : float, optional
        Adds alpha times the difference of the rows ``expert=`` and ``anti=`` of the call.
    temperature : float >= 0, default 1.0
        Divides the logits; 0 takes the first maximum.
    top_k : int >= -1, optional
        Keeps the k largest logits; None, 0, -1 and k >= V are off.
    top_p : float in [0, 1], optional
        Keeps the smallest set of most likely tokens that reaches this probability; None and 1 are off.
    min_p : float in [0, 1], optional
        Keeps tokens at least this many times as likely as the most likely one; None and 0 are off.
    dynatemp_range : float >= 0, optional
        The temperature lies between max(0, T - range) and T + range, by the entropy to the power of
        ``dynatemp_exponent`` (> 0, default 1.0).
    smoothing_factor : float >= 0, optional
        Quadratic sampling; ``smoothing_curve`` (in [1, 3], default 1.0) adds the cube. 0 is off.
    typical_p : float in [0, 1], optional
        Keeps the tokens whose surprise is nearest to the entropy; None and 1 are off.
    epsilon_cutoff, eta_cutoff : float in [0, 1], optional
        Keep tokens of at least this probability, and of at least min(eta, sqrt(eta) exp(-entropy)); 0 is off.
    top_n_sigma : float >= 0, optional
        Keeps logits at most this many standard deviations below the largest; 0 is off.
    top_a : float in [0, 1], optional
        Keeps tokens of at least top_a times the square of the largest probability; 0 is off.
    tfs : float in [0, 1], optional
        Tail free sampling; None and 1 are off.
    top_h : float in [0, 1], optional
        Keeps the most likely of 100 tokens up to this share of their entropy; None is off.
    p_less : float > 1, optional
        The order of the threshold of p-less sampling, 2 in the paper; None is off.
    min_k : float >= 0, optional
        The tau of min-k sampling; None is off.
    xtc_probability : float in [0, 1], optional
        The probability of removing the top choices: all tokens of at least ``xtc_threshold`` (default 0.1) but the
        least likely of them.
        ``xtc_special_tokens`` (token ids) are never removed.
    mirostat : 0, 1 or 2, optional
        Steers the surprise of the tokens towards ``mirostat_tau`` bits (default 5.0) at the rate ``mirostat_eta``
        (default 0.1); 0 is off.
    adaptive_target : float in [0, 1], optional
        Prefers tokens whose probability is near this, so that the drawn tokens have it on average. In that average each
        earlier token counts ``adaptive_decay`` (in [0, 0.99], default 0.9) times less. None is off.
    skew : float, optional
        The draw's u becomes u^exp(-skew), along token ids; 0 is off.
    min_keep : int >= 1, default 1
        The least number of tokens that every cut keeps.
    ties : "id" or "keep", default "id"
        "id": top_k and typical_p keep exactly their number of tokens, the smaller ids of equal ones. "keep": also all
        that equal the last one, and xtc spares all of its equally least likely top choices.
    joint : bool, default False
        top_p compares masses over what stood before top_k, without renormalizing.
    strict : bool, default False
        The mass that top_p and typical_p keep must exceed their parameter instead of reaching it; so must the
        probability of xtc's top choices.
    repetition_penalty : float > 0, optional
        Divides positive and multiplies other logits of the tokens in the context; 1 is off.
    frequency_penalty, presence_penalty : float, optional
        Lower a token's logit per occurrence, or once if it occurs; 0 is off.
    penalty_window : int >= 0, optional
        How many tokens at the end of the context the penalties count; None: all.
    penalty_prompt : bool, optional
        Whether the penalties count the first ``prompt_length`` tokens of the context; None: repetition_penalty does,
        the other two do not.
    penalty_decay : int >= 0, default 0
        Over this many tokens before the window, repetition_penalty falls to 1.
    penalty_slope : float in [0, 1], default 1.0
        The share of repetition_penalty that the older half of the window gets.
    dry_multiplier : float >= 0, optional
        DRY: lowers tokens that would continue a repeat of n >= ``dry_allowed_length`` (default 2) tokens, by multiplier
        times ``dry_base`` (>= 1, default 1.75) to the power n - allowed length. ``dry_penalty_last_n`` tokens are
        searched (None and -1: all); ``dry_sequence_breakers`` (sequences of token ids) end a repeat. 0 is off.
    no_repeat_ngram_size : int >= 0, optional
        Bans what would complete an n-gram that the context holds; 0 is off.
    encoder_no_repeat_ngram_size : int >= 0, optional
        Bans what would complete an n-gram of ``encoder_ids``; 0 is off.
    logit_bias : {id: bias}, or (ids, values), or a list of these per row, optional
        Added to logits; -inf bans.
    sequence_bias : {ids: bias}, or pairs [ids, bias], or a list of such dicts per row, optional
        Added to the logit of a sequence's last token where its others end the context; -inf bans.
    bad_words_ids : sequences of token ids, or these per row, optional
        Bans the last token of a sequence where its others end the context, or with ``bad_words_output_only`` (default
        False) end ``context[prompt_length:]``.
    encoder_repetition_penalty : float > 0, optional
        Multiplies positive and divides other logits of the tokens in ``encoder_ids``; 1 is off.
    min_length, min_new_tokens : int >= 0, optional
        Ban ``eos_token_id`` (an id or several) while the context, or ``context[prompt_length:]``, is shorter; 0 is off.
    exponential_decay_length_penalty : (start, factor), optional
        Raises ``eos_token_id`` by |l| (factor^k - 1), k tokens after ``start`` new ones.
    allowed_token_ids, suppress_tokens : token ids, or these per row, optional
        Ban all others, and ban them.
    begin_suppress_tokens : token ids, or these per row, optional
        Banned where the context holds ``begin_index`` tokens, ``prompt_length`` by default.
    forced_bos_token_id, forced_eos_token_id : token id or ids, optional
        Alone left, with logit 0, where the context holds one token; where it holds ``max_length - 1``.
    remove_invalid_values : bool, default False
        Repairs the row as it came: NaN to 0, infinities to the largest and the lowest value of its type.
    renormalize_logits : bool, default False
        `filter_logits` and `candidates` return log-probs as logits.
    mask : bool [V] or [..., V], or int32 words [ceil(V / 32)] or [..., ceil(V / 32)], optional
        Bans what it does not allow; a shorter mask bans the tokens beyond it.
    draw : "cdf" or "gumbel", optional
        How `sample` draws: by the inverse of the running mass, or by Gumbel-max (`fastlogits.steps.Gumbel`).
    {further keywords}
    preset : "hf", "vllm", "llama.cpp", "openvino" or "mlx", optional
        The sequence of steps of that system and its boundary rules (transformers and vLLM keep ties). It never sets
        a parameter's value (llama.cpp's and mlx-lm's penalties count the prompt too; their windows of 64 and 20 tokens
        are for the caller to give, as ``penalty_window``). Its own values for off and for all are understood. A step
        that the system lacks is an error. Under "llama.cpp" mirostat takes the place of penalties, DRY, cuts and
        dynamic temperature: logit bias, mask, temperature and mirostat run, as in its chain.

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

    def __init__(self, *steps: s.Step, **keywords: Unpack[Steering]) -> None:
        given: dict[str, Any] = dict(keywords)
        refuse_unknown(type(self).__name__, given, KEYWORDS)
        if not steps:
            steps = keyword_steps(given, given.pop("preset", None))
        elif any(_given(value, KEYWORDS[name]) for name, value in given.items()):
            raise TypeError("a Sampler takes steps or keywords, not both")
        _prepare.check_order(steps)
        prepared = [_prepare.prepared(step) for step in steps]
        shape = _prepare.shape_of(prepared)
        spread = tuple(_prepare.spread(prepared, shape) if shape else prepared)
        self._fill(tuple(steps), spread, shape, _reminders.reminders(spread))

    # The short way for plain arguments lives in C; `_sample`, `_seed` and `_refuse` are what it leaves to Python.
    sample = _core.Plan.sample

    def state(
        self,
        context: Any = None,
        *,
        prompt_length: Any = 0,
        row: int | None = None,
        key: int | None = None,
        position: int | None = None,
        vocab: int | None = None,
        out_of_vocab: str = "error",
    ) -> State:
        """A `State` for one sequence: pass it as ``state=`` and give it each token by `State.accept`.

        Parameters
        ----------
        context : token ids, optional
            The tokens so far.
        prompt_length : int >= 0, default 0
            How many of them are the prompt, which frequency and presence penalty leave out.
        row : int >= 0, optional
            Whose parameters it uses; needed where the Sampler has parameters per row.
        key : int, optional
            Its random stream, in any row; the number of that row by default.
        position : int, optional
            Where in the stream it begins; the number of its tokens by default.
        vocab : int >= 1, optional
            Size of the vocabulary, which `State.accept` holds tokens against; known anyway after the first use.
        out_of_vocab : "error" or "placeholder", default "error"
            Whether an id outside the vocabulary is an error or a placeholder, as in `sample`; ids >= V count as such
            once V is known.

        Returns
        -------
        State

        Raises
        ------
        ValueError, TypeError
            A token outside the vocabulary, or an argument out of range.

        Examples
        --------
        >>> import fastlogits as fl
        >>> sampler = fl.Sampler(repetition_penalty=1.3, temperature=0.8, top_k=2)
        >>> state = sampler.state([3])
        >>> for _ in range(4):
        ...     state.accept(sampler.sample([1.0, 3.0, 2.0, 2.5], state=state, rng=7))
        >>> state.tokens.size
        5
        """
        begin = _state.Beginning(prompt_length, row, key, position, vocab, out_of_vocab)
        return _state.made(self, context, begin)

    def _sample(self, logits: Any, wanted: tuple[Any, ...], inputs: dict[str, Any]) -> Any:
        return _draw.sample(_run.Call(self, logits, Inputs(inputs)), _draw.Wanted(*wanted))

    def _seed(self, rng: Any) -> int:
        return _seeds.seed_word(rng)

    def _warn(self, due: int) -> None:
        _reminders.warn(self.prepared, due)

    def _refuse(self, row: int, fault: tuple[int, int, float], logits: Any, beside: tuple[Any, ...]) -> NoReturn:
        status, step, value = fault
        if status == Status.STEP_INF and step == 0:
            around = dict(zip(_core.BESIDE, beside, strict=True))
            _beside.refuse_lone_bans(logits, {name: around[name] for name in self.beside}, row)
        names = [each.name for each in self.steps]
        refuse_row((), row, Fault(status, step, value, logits.size, names), beside=self.beside)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.steps))})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sampler) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash(self.steps)

    def __reduce__(self) -> tuple[type[Self], tuple[s.Step, ...]]:
        return type(self), self.steps


def _given(value: Any, default: Any) -> bool:
    """Whether a keyword has another value than its default."""
    return value is not default and not (isinstance(value, type(default)) and value == default)


Sampler.__init__ = spelled_out(Sampler.__init__)  # type: ignore[method-assign]
Sampler.__doc__ = documented(Sampler.__doc__)
