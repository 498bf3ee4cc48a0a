"""The results of a Sampler besides a token: probabilities, filtered logits, survivors, noise, an explanation."""

from __future__ import annotations

from typing import Any, Unpack

import fastlogits._core as _core
from fastlogits._common.call_inputs import CallInputs, RowInputs, defaults_of, signed
from fastlogits._common.docs import shared
from fastlogits.sampling import call as _run
from fastlogits.sampling import draw as _draw
from fastlogits.sampling.explain import Explanation, explain


class Outputs(_core.Plan):
    """Base of `Sampler`: a result for each row."""

    __slots__ = ()

    @signed(CallInputs)
    @shared
    def probs(self, logits: Any, *, out: Any = None, **inputs: Unpack[CallInputs]) -> Any:
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
        return _run.dense(_run.Call(self, logits, _run.taken("probs", inputs)), "probs", out)

    @signed(CallInputs)
    @shared
    def filter_logits(self, logits: Any, *, out: Any = None, **inputs: Unpack[CallInputs]) -> Any:
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
        return _run.dense(_run.Call(self, logits, _run.taken("filter_logits", inputs)), "logits", out)

    @signed(CallInputs)
    @shared
    def candidates(self, logits: Any, **inputs: Unpack[CallInputs]) -> Any:
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
        return _run.candidates(_run.Call(self, logits, _run.taken("candidates", inputs)))

    @signed(CallInputs)
    @shared
    def gumbel_max(self, logits: Any, *, n: int | None = None, offset: int = 0, **inputs: Unpack[CallInputs]) -> Any:
        """The tokens of the largest logit + Gumbel noise, and these values: draws that merge over vocabulary shards.

        Parameters
        ----------
        logits, **inputs
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
        return _draw.gumbel_max(_run.Call(self, logits, _run.taken("gumbel_max", inputs)), n, offset)

    @signed(RowInputs)
    @shared
    def explain(self, logits: Any, *, row: int = 0, **inputs: Unpack[RowInputs]) -> Explanation:
        """What this Sampler does to a real row: the pass that ran, and what each step left.

        Parameters
        ----------
        {inputs of a row}
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
        given = _run.taken("explain", {"threads": 1, **inputs}, {"threads": 1, **defaults_of(RowInputs)})
        return explain(_run.Call(self, logits, given), row)
