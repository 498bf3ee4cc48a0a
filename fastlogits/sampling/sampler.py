"""Sampler: a pipeline prepared once and run on any number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, Self, Unpack

import fastlogits._core as _core
from fastlogits import steps as s
from fastlogits._common import inputs as _inputs
from fastlogits._common.docs import shared
from fastlogits._common.errors import Status, refuse_row
from fastlogits._common.familiar import refuse_unknown
from fastlogits.sampling import beams as _beams
from fastlogits.sampling import call as _run
from fastlogits.sampling import prepare as _prepare
from fastlogits.sampling import reminders as _reminders
from fastlogits.sampling import speculative as _speculative
from fastlogits.sampling import state as _state
from fastlogits.sampling.builders import Builders
from fastlogits.sampling.explain import Explanation, explain
from fastlogits.sampling.keywords import KEYWORDS, Steering, keyword_steps, spelled_out
from fastlogits.sampling.results import Candidates, GumbelMax, SampleResult

if TYPE_CHECKING:
    from fastlogits.sampling.state import State

__all__ = ["Candidates", "Explanation", "GumbelMax", "SampleResult", "Sampler"]


class Sampler(Builders, _core.Plan):
    """A pipeline: edits, temperature, cuts and a draw, prepared once, immutable, picklable.

    ``Sampler(*steps)`` runs steps of `fastlogits.steps` in the order written. ``Sampler(**keywords)`` runs those asked
    for in the order guidance_scale (or contrastive_alpha, dexperts_alpha), remove_invalid_values,
    encoder_repetition_penalty, repetition_penalty, frequency_penalty, presence_penalty, dry_multiplier,
    no_repeat_ngram_size, encoder_no_repeat_ngram_size, bad_words_ids, logit_bias, sequence_bias, min_length,
    min_new_tokens, allowed_token_ids, forced_bos_token_id, forced_eos_token_id, exponential_decay_length_penalty,
    suppress_tokens, begin_suppress_tokens, mask, temperature (with dynatemp_range), smoothing_factor, top_h, top_k,
    top_p, min_p, typical_p, epsilon_cutoff, eta_cutoff, top_n_sigma, top_a, tfs, p_less, min_k, xtc_probability,
    mirostat, adaptive_target, skew, renormalize_logits. Each number is one for all rows or one per row (broadcast
    against the shape of the batch). `fastlogits.steps` says what each of them does, and where it comes from.

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
        How often the top choices are removed, those of at least ``xtc_threshold`` (default 0.1) but the last of them;
        ``xtc_special_tokens`` (token ids) never are.
    mirostat : 0, 1 or 2, optional
        Steers the surprise of the tokens towards ``mirostat_tau`` bits (default 5.0) at the rate ``mirostat_eta``
        (default 0.1); 0 is off.
    adaptive_target : float in [0, 1], optional
        Prefers tokens whose probability lies near this, the drawn ones on average, those before counting
        ``adaptive_decay`` (in [0, 0.99], default 0.9) times less each; None is off.
    skew : float, optional
        The draw's u becomes u^exp(-skew), along token ids; 0 is off.
    min_keep : int >= 1, default 1
        What every cut leaves at least.
    ties : "id" or "keep", default "id"
        Whether top_k and typical_p keep exactly what they count or also tokens that equal the last one; xtc whether
        one or all of the least likely top choices stay.
    joint : bool, default False
        top_p compares masses over what stood before top_k, without renormalizing.
    strict : bool, default False
        The mass that top_p and typical_p keep, and what xtc takes for top choices, must exceed their parameter instead
        of reaching it.
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
        Before the window repetition_penalty falls to 1 over this many tokens.
    penalty_slope : float in [0, 1], default 1.0
        How much of repetition_penalty the older half of the window has.
    dry_multiplier : float >= 0, optional
        DRY: lowers what would go on with a repeat of at least ``dry_allowed_length`` (default 2) tokens by multiplier
        times ``dry_base`` (>= 1, default 1.75) to the power of the tokens beyond. ``dry_penalty_last_n`` tokens are
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
    preset : "hf", "vllm", "llama.cpp", "openvino" or "mlx", optional
        The sequence of steps of that system and its boundary rules (transformers and vLLM keep ties), never a
        parameter's value (llama.cpp's and mlx-lm's penalties count the prompt too; their windows of 64 and 20 tokens
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

    @shared
    def probs(
        self,
        logits: Any,
        *,
        context: Any = None,
        prompt_length: Any = 0,
        state: Any = None,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        out: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
        uncond: Any = None,
        amateur: Any = None,
        expert: Any = None,
        anti: Any = None,
    ) -> Any:
        """Probabilities of the survivors, renormalized; 0 where removed.

        Parameters
        ----------
        {inputs as in sample}
        {out}

        Returns
        -------
        {array}

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
        beside = (uncond, amateur, expert, anti)
        call = _run.Call(self, logits, context, prompt_length, state, position, keys, threads, on_error, beside)
        return _run.dense(call, "probs", rng, out)

    @shared
    def filter_logits(
        self,
        logits: Any,
        *,
        context: Any = None,
        prompt_length: Any = 0,
        state: Any = None,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        out: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
        uncond: Any = None,
        amateur: Any = None,
        expert: Any = None,
        anti: Any = None,
    ) -> Any:
        """Processed logits, -inf where removed; each rounded once, at the end.

        Parameters
        ----------
        {inputs as in sample}
        {out}

        Returns
        -------
        {array}

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
        beside = (uncond, amateur, expert, anti)
        call = _run.Call(self, logits, context, prompt_length, state, position, keys, threads, on_error, beside)
        return _run.dense(call, "logits", rng, out)

    @shared
    def candidates(
        self,
        logits: Any,
        *,
        context: Any = None,
        prompt_length: Any = 0,
        state: Any = None,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
        uncond: Any = None,
        amateur: Any = None,
        expert: Any = None,
        anti: Any = None,
    ) -> Any:
        """The survivors of each row, sorted by (logit descending, id ascending).

        Parameters
        ----------
        {inputs as in sample}

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
        beside = (uncond, amateur, expert, anti)
        call = _run.Call(self, logits, context, prompt_length, state, position, keys, threads, on_error, beside)
        return _run.candidates(call, rng)

    def gumbel_max(
        self,
        logits: Any,
        *,
        n: int | None = None,
        offset: int = 0,
        context: Any = None,
        prompt_length: Any = 0,
        state: Any = None,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
    ) -> Any:
        """The tokens of the largest logit + Gumbel noise, and these values: draws that merge over vocabulary shards.

        Parameters
        ----------
        logits, context, prompt_length, state, rng, position, keys, threads, on_error
            As in `sample`. Context, biases and masks speak of the tokens at hand, counted from the first of them; of a
            shard `position` must be given where its context is not as long as that of the others.
        n : int >= 1, optional
            The n largest: tokens drawn without replacement.
        offset : int >= 0, default 0
            Which token of the vocabulary the first one is. Noise belongs to (seed, key, position, offset + i).

        Returns
        -------
        GumbelMax
            ids, values and base, by which shards are merged. With ``on_error="status"`` the pair (GumbelMax, status);
            a bad row holds -1 and NaN.

        Raises
        ------
        ValueError, TypeError
            As `sample`.

        Examples
        --------
        >>> import fastlogits as fl
        >>> row, sampler = [1.0, 3.0, 2.0, 2.5, 0.0], fl.Sampler(temperature=0.8, draw="gumbel")
        >>> shards = [sampler.gumbel_max(row[:2], rng=7), sampler.gumbel_max(row[2:], rng=7, offset=2)]
        >>> base = max(shard.base for shard in shards)
        >>> best = max(shards, key=lambda shard: shard.values + (shard.base - base))
        >>> best.ids == sampler.sample(row, rng=7)
        True
        """
        call = _run.Call(self, logits, context, prompt_length, state, position, keys, threads, on_error)
        return _run.gumbel_max(call, rng, n, offset)

    def verify(
        self,
        target_logits: Any,
        draft_ids: Any,
        *,
        draft_logits: Any = None,
        draft_probs: Any = None,
        parents: Any = None,
        replacement: bool = True,
        draft_sampler: Sampler | None = None,
        context: Any = None,
        prompt_length: Any = 0,
        state: Any = None,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
        uncond: Any = None,
        amateur: Any = None,
        expert: Any = None,
        anti: Any = None,
    ) -> Any:
        """Accept drafted tokens so that what is emitted follows the target distribution, exactly.

        Parameters
        ----------
        target_logits : array [..., n + 1, V]
            The target model's logits: row 0 after the context, row i + 1 after draft token i.
        draft_ids : int array [..., n]
            The drafted tokens; -1 ends a draft that is shorter.
        draft_logits : array [..., m, V], optional
            The draft model's logits in the same places: row 0 is what the tokens after the context were drawn from,
            row i + 1 those after token i. m is n for a chain; rows that no token was drawn from may hold anything.
        draft_probs : array [..., m, V], optional
            In their place the very probabilities that the tokens were drawn from. Without either the drafts count as
            certain (n-grams, the most likely tokens): q = 1 at the token.
        parents : int array [..., n] or [n], optional
            A tree: which earlier token each one stands after, -1 for the context. A chain by default.
        replacement : bool, default True
            Whether tokens after one parent were drawn independently; False: as ``sample(n=, replacement=False)`` draws
            them. In their order either way.
        draft_sampler : Sampler, optional
            The pipeline of the draft logits; this one by default. It cannot begin with a step that combines rows.
        context, prompt_length, rng, position, keys, threads, on_error
            As in `sample`, for each sequence. Token i sees the context and the accepted tokens before it, so penalties
            count these, and its position is that many further on.
        state : State, or a list with one per sequence, optional
            Replaces context, prompt_length, position and keys, for the same result. It stays as it is: its
            tokens are those before the drafts, and ``state.accept(found.ids[: found.accepted + 1])`` goes on after
            what was emitted; steps that remember have then heard each of these tokens as if `sample` had drawn it.
        uncond, amateur, expert, anti : array of the shape and type of target_logits
            Rows that the first step combines with the target logits, as in `sample`.

        Returns
        -------
        Verified
            With ``on_error="status"`` the pair (Verified, status).

        Raises
        ------
        ValueError, TypeError
            As `sample`; a token outside the vocabulary; NaN, +inf or negative numbers in a draft; a drafted token that
            its draft gives probability 0, so that it was drawn from something else. Rows that are never reached are
            not looked at.

        Notes
        -----
        Leviathan, Kalman and Matias, "Fast Inference from Transformers via Speculative Decoding", 2023. Trees: each
        refused child takes its q from p (Miao et al., "SpecInfer", 2024), without replacement also itself from q.
        Lossless where each token was drawn from the row named, given those before it. Every random number depends on
        (seed, key, position) and none is one that `sample` uses at a drafted position, so drafts may be drawn under
        the same rng; the bonus token is the one that `sample` draws there. Steps that remember what was drawn
        (mirostat, adaptive_p) start anew at each row, unless there is a state. With a state, both the target's and the
        draft's begin with what the state remembers. Each accepted token updates the target's under the target
        distribution, and the draft's under the draft distribution.

        Examples
        --------
        >>> import numpy as np, fastlogits as fl
        >>> sampler = fl.Sampler(temperature=0.8, top_k=2)
        >>> draft, target = np.array([[2.0, 1.0, 0.0]]), np.array([[2.0, 1.5, 0.0], [0.0, 0.0, 9.0]])
        >>> ids = sampler.sample(draft, rng=7, position=5)
        >>> found = sampler.verify(target, ids, draft_logits=draft, rng=7, position=5)
        >>> found.ids.shape, found.accepted in (0, 1)
        ((2,), True)
        """
        other = self if draft_sampler is None else draft_sampler
        if not isinstance(other, Sampler):
            raise TypeError(f"draft_sampler must be a Sampler or None, got {type(other).__name__}")
        drafts = _speculative.Drafts(target_logits, draft_ids, draft_logits, draft_probs, parents)
        return _speculative.verify(
            (self, other),
            drafts,
            replacement,
            context,
            prompt_length,
            state,
            rng,
            position,
            keys,
            threads,
            on_error,
            (uncond, amateur, expert, anti),
        )

    def beam_step(
        self,
        logits: Any,
        scores: Any,
        *,
        n: int | None = None,
        num_beam_groups: int = 1,
        diversity_penalty: float = 0.0,
        eos: Any = None,
        length: Any = None,
        length_penalty: float = 1.0,
        context: Any = None,
        prompt_length: Any = 0,
        state: Any = None,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
        uncond: Any = None,
        amateur: Any = None,
        expert: Any = None,
        anti: Any = None,
    ) -> Any:
        """The best continuations of all beams: running score + log-prob of the token as the pipeline leaves it.

        Parameters
        ----------
        logits : array [..., beams, V]
            One row per beam; read in place. Nothing of its size is made.
        scores : array [..., beams]
            Running scores, sums of log-probs; -inf for a beam that is not in use.
        n : int >= 1, optional
            How many continuations; 2 * beams by default, so that as many as there are beams go on even when some end.
        num_beam_groups : int >= 1, default 1
            Diverse beam search: the beams in this many groups of equal size, one after the other, each with n /
            num_beam_groups continuations of the beams in it. Divides beams and n.
        diversity_penalty : float >= 0, default 0.0
            What a token's log-prob in one group loses for each beam of an earlier group that goes on with it.
        eos : int or sequence of int, optional
            Tokens that end a text: a group goes on with the first half of its continuations by other tokens.
        length : int or int array [..., beams], at least 1, optional
            Tokens of each beam's text, the new one among them: continuations are ranked by score / length **
            length_penalty, which matters where texts are of different lengths. Scores stay sums.
        length_penalty : float, default 1.0
            Above 0 it favours long texts, below 0 short ones. Without ``length`` it does nothing.
        context, prompt_length, state, rng, position, keys, threads, on_error, uncond, amateur, expert, anti
            As in `sample`, one row per beam. Nothing is drawn: states remember no token of it.

        Returns
        -------
        BeamStep
            scores, beams and ids, each [..., n]; with ``on_error="status"`` the pair (BeamStep, status), a bad beam
            having no continuation. `BeamStep.split` parts what ends from what goes on.

        Raises
        ------
        ValueError, TypeError
            As `sample`; scores that are NaN or +inf; groups that do not divide beams and n; a penalty, length or token
            that ends a text out of range.

        Notes
        -----
        Vijayakumar et al., "Diverse Beam Search", 2016, with the Hamming diversity: in each group after the first
        log p(token) - diversity_penalty * (beams of earlier groups that go on with token), the names and the formula
        of transformers' HammingDiversityLogitsProcessor. The penalty stays in the scores. Length penalty: Wu et al.,
        "Google's Neural Machine Translation System", 2016, in the form of transformers.

        Examples
        --------
        >>> import fastlogits as fl
        >>> fl.Sampler(top_k=1).beam_step([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]], [-1.0, -0.5])
        BeamStep(scores=array([-0.5, -1. , -inf, -inf]), beams=array([ 1,  0, -1, -1]), ids=array([ 0,  1, -1, -1]))

        Two groups of one beam each; the second turns to another token, for the first one's cost 1 more:

        >>> rows = [[0.0, 2.0, 1.5], [0.0, 2.0, 1.5]]
        >>> step = fl.Sampler().beam_step(rows, [0.0, 0.0], n=2, num_beam_groups=2, diversity_penalty=1.0)
        >>> step.beams, step.ids
        (array([0, 1]), array([1, 2]))
        """
        beside = (uncond, amateur, expert, anti)
        call = _run.Call(self, logits, context, prompt_length, state, position, keys, threads, on_error, beside)
        ranking = _beams.Ranking(num_beam_groups, diversity_penalty, eos, length, length_penalty)
        return _beams.beam_step(call, scores, n, rng, ranking)

    def explain(
        self,
        logits: Any,
        *,
        row: int = 0,
        context: Any = None,
        prompt_length: Any = 0,
        state: Any = None,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        uncond: Any = None,
        amateur: Any = None,
        expert: Any = None,
        anti: Any = None,
    ) -> Explanation:
        """What this Sampler does to a real row: the pass that ran, and what each step left.

        Parameters
        ----------
        logits, context, prompt_length, state, rng, position, keys, uncond, amateur, expert, anti
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

        See Also
        --------
        fastlogits.plots.step_distributions : the same as a picture.

        Examples
        --------
        >>> import fastlogits as fl
        >>> e = fl.Sampler(temperature=0.5, top_k=2).explain([1.0, 3.0, 2.0, 0.0])
        >>> [(step.name, step.given, step.survived) for step in e.steps]
        [('temperature', 4, 4), ('top_k', 4, 2)]
        """
        call = _run.Call(
            self, logits, context, prompt_length, state, position, keys, 1, "raise", (uncond, amateur, expert, anti)
        )
        return explain(call, row, _run.seed_of(call, rng))

    def state(
        self,
        context: Any = None,
        *,
        prompt_length: Any = 0,
        row: int | None = None,
        key: int | None = None,
        position: int | None = None,
        vocab: int | None = None,
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
        return _state.made(self, context, prompt_length, row, key, position, vocab)

    def _sample(self, *arguments: Any) -> Any:
        return _run.sample(self, *arguments)

    def _seed(self, rng: Any) -> int:
        return _inputs.seed_word(rng)

    def _warn(self, due: int) -> None:
        _reminders.warn(self.prepared, due)

    def _refuse(
        self, outer: Any, row: int, status: int, step: int, value: float, n: int, given: tuple[Any, ...] = ()
    ) -> NoReturn:
        names = [each.name for each in self.steps]
        if given and status == Status.STEP_INF and step == 0:
            around = dict(zip(_core.BESIDE, given[1:], strict=True))
            _run.refuse_lone_bans(given[0], {name: around[name] for name in self.beside}, row)
        refuse_row(outer, row, status, step, value, n, names, beside=self.beside)

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
