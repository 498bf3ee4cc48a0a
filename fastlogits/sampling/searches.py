"""What a Sampler does with several tokens ahead: drafts verified, beams continued."""

from __future__ import annotations

from typing import Any, Unpack

import fastlogits._core as _core
from fastlogits._common.call_inputs import CallInputs, signed
from fastlogits.sampling import beams as _beams
from fastlogits.sampling import call as _run
from fastlogits.sampling import speculative as _speculative


class Searches(_core.Plan):
    """Base of `Sampler`: results of rows that belong together."""

    __slots__ = ()

    @signed(CallInputs)
    def verify(
        self,
        target_logits: Any,
        draft_ids: Any,
        *,
        draft_logits: Any = None,
        draft_probs: Any = None,
        parents: Any = None,
        replacement: bool = True,
        draft_sampler: Any = None,
        **inputs: Unpack[CallInputs],
    ) -> Any:
        """Accept drafted tokens so that what is emitted follows the target distribution, exactly.

        Parameters
        ----------
        target_logits : array [..., n + 1, V]
            The target model's logits: row 0 after the context, row i + 1 after draft token i.
        draft_ids : int array [..., n]
            The drafted tokens; -1 ends a draft that is shorter.
        draft_logits : array [..., m, V], optional
            The draft model's logits. The tokens after the context were drawn from row 0, those after token i from row
            i + 1. m is n for a chain. Rows that no token was drawn from may hold anything.
        draft_probs : array [..., m, V], optional
            Instead of ``draft_logits``: the probabilities that the tokens were drawn from. Without both, each drafted
            token has q = 1 (n-grams, the most likely tokens).
        parents : int array [..., n] or [n], optional
            For a tree: the earlier token that each token follows, -1 for the context. A chain by default.
        replacement : bool, default True
            Whether the tokens after one parent were drawn independently. False: as ``sample(n=, replacement=False)``
            draws them. The order of drawing counts in both cases.
        draft_sampler : Sampler, optional
            The pipeline of the draft logits; this one by default. It cannot begin with a step that combines rows.
        **inputs
            As in `sample`, for each sequence. The context of token i includes the accepted tokens before it: penalties
            count them, and each moves the position on by one.
        state : State, or a list with one per sequence, optional
            Replaces context, prompt_length, position and keys; the result is the same. Its tokens are those before the
            drafts. The call does not change it: ``state.accept(found.ids[: found.accepted + 1])`` adds the emitted
            tokens. Steps with memory then treat each of them as if `sample` had drawn it.
        uncond, amateur, expert, anti : array of the shape and type of target_logits
            Rows that the first step combines with the target logits, as in `sample`.

        Returns
        -------
        Verified
            With ``on_error="status"`` the pair (Verified, status).

        Raises
        ------
        ValueError, TypeError
            As `sample`; a token outside the vocabulary; NaN, +inf or negative numbers in a draft; a drafted token of
            probability 0 in its draft. Rows that are never reached are not checked.

        Notes
        -----
        Leviathan, Kalman and Matias, "Fast Inference from Transformers via Speculative Decoding", 2023. In a tree, q of
        each refused child is subtracted from p (Miao et al., "SpecInfer", 2024); without replacement the child is also
        removed from q. The result is exact if each token was drawn from its row of the draft. Every random number
        depends on (seed, key, position). At drafted positions none is a number that `sample` uses, so drafts may be
        drawn with the same rng. The bonus token is the one that `sample` draws at its position. Steps that remember
        what was drawn (mirostat, adaptive_p) start anew at each row, unless there is a state. With a state, both the
        target's and the draft's begin with what the state remembers. Each accepted token updates the target's under the
        target distribution, and the draft's under the draft distribution.

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
        if not isinstance(other, Searches):
            raise TypeError(f"draft_sampler must be a Sampler or None, got {type(other).__name__}")
        drafts = _speculative.Drafts(target_logits, draft_ids, draft_logits, draft_probs, parents)
        return _speculative.verify((self, other), drafts, replacement, _run.taken("verify", inputs))

    @signed(CallInputs)
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
        **inputs: Unpack[CallInputs],
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
            Above 0 it favors long texts, below 0 short ones. Without ``length`` it does nothing.
        **inputs
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
        call = _run.Call(self, logits, _run.taken("beam_step", inputs))
        ranking = _beams.Ranking(num_beam_groups, diversity_penalty, eos, length, length_penalty)
        return _beams.beam_step(call, scores, n, ranking)
