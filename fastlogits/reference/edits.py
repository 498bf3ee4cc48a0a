"""Reference of the steps that combine rows or change single logits; see `fastlogits.reference`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastlogits.reference.combine import contrastive, dexperts, guide
from fastlogits.reference.repeats import Floats, banned, repeats, tail
from fastlogits.reference.rows import Row


class Edits:
    """One function per such step, by its name: (row, the step's fields) -> new logits [V]."""

    @staticmethod
    def guidance(row: Row, scale: float, space: str = "logprobs") -> Floats:
        """`reference.guide` with the row `uncond` next to the logits."""
        return guide(row.logits, row.beside["uncond"], scale, space=space)

    @staticmethod
    def contrastive(row: Row, alpha: float = 0.1, beta: float | None = None) -> Floats:
        """`reference.contrastive` with the row `amateur` next to the logits."""
        return contrastive(row.logits, row.beside["amateur"], alpha=alpha, beta=beta)

    @staticmethod
    def d_experts(row: Row, alpha: float) -> Floats:
        """`reference.dexperts` with the rows `expert` and `anti` next to the logits."""
        return dexperts(row.logits, row.beside["expert"], row.beside["anti"], alpha)

    @staticmethod
    def repetition_penalty(
        row: Row,
        theta: float,
        window: int | None = None,
        prompt: bool = True,
        decay: int = 0,
        slope: float = 1.0,
    ) -> Floats:
        """Divide l > 0 by theta, multiply l <= 0 by it, once per distinct context token (Keskar et al., 2019).

        Where the token occurs only in the older half of the window theta - 1 is multiplied by `slope`; before the
        window it falls to 0 over `decay` tokens.
        """
        x = row.logits
        factors = 1 + (theta - 1) * row.strengths(0 if prompt else row.prompt_length, window, decay, slope)
        return np.where(row.last() < 0, x, np.where(x > 0, x / factors, x * factors))

    @staticmethod
    def frequency_penalty(row: Row, alpha: float, window: int | None = None, prompt: bool = False) -> Floats:
        """Logit - count * alpha, counting context[prompt_length:], or all of it (OpenAI's parameter of that name)."""
        return row.logits - row.counts(0 if prompt else row.prompt_length, window) * alpha

    @staticmethod
    def presence_penalty(row: Row, alpha: float, window: int | None = None, prompt: bool = False) -> Floats:
        """Logit - alpha where context[prompt_length:], or all of it, holds the token (OpenAI's parameter)."""
        return row.logits - (row.counts(0 if prompt else row.prompt_length, window) > 0) * alpha

    @staticmethod
    def dry(
        row: Row,
        multiplier: float,
        base: float = 1.75,
        allowed_length: int = 2,
        window: int | None = None,
        sequence_breakers: Sequence[Sequence[int]] = (),
    ) -> Floats:
        """Logit - multiplier * base^(m - allowed_length) of what followed the last m tokens before (p-e-w, 2024).

        The longest such m counts, if it is at least `allowed_length`; it ends at a breaker, and a breaker of one token
        is never lowered.
        """
        logits = row.logits.copy()
        most = int(88.7228391 / np.log(base)) if base > 1.000001 else 2**31
        for token, m in repeats(tail(row.context, window), sequence_breakers).items():
            if m >= allowed_length and (token,) not in map(tuple, sequence_breakers):
                logits[token] -= multiplier * base ** min(m - allowed_length, most)
        return logits

    @staticmethod
    def no_repeat_ngram(row: Row, size: int) -> Floats:
        """-inf for all tokens that followed the last size - 1 tokens before: no n-gram comes twice."""
        return row.logits + banned(row.context, row.context, size, len(row.logits))

    @staticmethod
    def encoder_no_repeat_ngram(row: Row, size: int, ids: Sequence[int] = ()) -> Floats:
        """-inf for all tokens that follow the last size - 1 tokens in the ids of the encoder's input."""
        return row.logits + banned(np.asarray(ids, np.int64), row.context, size, len(row.logits))

    @staticmethod
    def logit_bias(row: Row, bias: Any) -> Floats:
        """Logit + b_t of token t for {t: b_t} or (ids, values); b = -inf bans the token."""
        ids, values = (list(bias), list(bias.values())) if isinstance(bias, Mapping) else bias
        logits = row.logits.copy()
        logits[np.asarray(ids, np.int64)] += np.asarray(values, np.float64)
        return logits

    @staticmethod
    def sequence_bias(row: Row, bias: Mapping[tuple[int, ...], float] | None) -> Floats:
        """Logit + b of the last token of each sequence {ids: b} whose other tokens end the context."""
        logits = row.logits.copy()
        for ids, value in (bias or {}).items():
            if row.ends_with(ids[:-1]):
                logits[ids[-1]] += value
        return logits

    @staticmethod
    def bad_words(row: Row, sequences: Any, output_only: bool = False) -> Floats:
        """Ban the last token of each sequence whose other tokens end the context, or context[prompt_length:]."""
        start = row.prompt_length if output_only else 0
        return row.without([ids[-1] for ids in sequences or () if len(ids) and row.ends_with(ids[:-1], start)])

    @staticmethod
    def encoder_repetition_penalty(row: Row, theta: float, ids: ArrayLike = ()) -> Floats:
        """Multiply l > 0 by theta, divide l <= 0 by it, once per distinct token of the encoder's input."""
        x, seen = row.logits, np.isin(np.arange(len(row.logits)), np.asarray(ids, np.int64))
        return np.where(seen, np.where(x > 0, x * theta, x / theta), x)

    @staticmethod
    def suppress_tokens(row: Row, ids: ArrayLike) -> Floats:
        """Ban the tokens in every context."""
        return row.without(ids)

    @staticmethod
    def begin_suppress_tokens(row: Row, ids: ArrayLike, begin_index: int | None = None) -> Floats:
        """Ban the tokens where the context holds begin_index tokens, prompt_length by default."""
        begin = row.prompt_length if begin_index is None else begin_index
        return row.without(ids) if len(row.context) == begin else row.logits

    @staticmethod
    def allowed_tokens(row: Row, ids: ArrayLike) -> Floats:
        """Ban all other tokens; off: no ids."""
        allowed = np.asarray(ids, np.int64)
        return row.only(allowed) if allowed.size else row.logits

    @staticmethod
    def forced_bos_token(row: Row, ids: ArrayLike) -> Floats:
        """These tokens alone, with logit 0, where the context holds one token."""
        return row.forced(ids) if len(row.context) == 1 else row.logits

    @staticmethod
    def forced_eos_token(row: Row, ids: ArrayLike, max_length: int | None = None) -> Floats:
        """These tokens alone, with logit 0, where the context holds max_length - 1 tokens."""
        return row.forced(ids) if len(row.context) + 1 == max_length else row.logits

    @staticmethod
    def min_length(row: Row, n: int, ids: ArrayLike = ()) -> Floats:
        """Ban the tokens while the context holds less than n."""
        return row.without(ids) if len(row.context) < n else row.logits

    @staticmethod
    def min_new_tokens(row: Row, n: int, ids: ArrayLike = ()) -> Floats:
        """Ban the tokens while context[prompt_length:] holds less than n."""
        return row.without(ids) if len(row.context) - row.prompt_length < n else row.logits

    @staticmethod
    def exponential_decay_length_penalty(row: Row, penalty: tuple[int, float], ids: ArrayLike = ()) -> Floats:
        """Add |l| (factor^k - 1) to the tokens, k > 0 tokens after the start; factor^k <= e^69."""
        (start, factor), logits = penalty, row.logits.copy()
        over, at = len(row.context) - row.prompt_length - start, np.unique(np.asarray(ids, np.int64))
        at = at[logits[at] > -np.inf]
        if over > 0:
            logits[at] += np.abs(logits[at]) * (np.exp(min(over * np.log(factor), 69.0)) - 1)
        return logits

    @staticmethod
    def remove_invalid_values(row: Row, enabled: bool = True) -> Floats:
        """NaN -> 0, +inf and -inf -> the largest and the lowest value of the row's type."""
        repaired: Floats = np.nan_to_num(row.logits, nan=0.0, posinf=row.largest, neginf=-row.largest)
        return repaired if enabled else row.logits

    @staticmethod
    def renormalize_logits(row: Row, enabled: bool = True) -> Floats:
        """Log-softmax over the survivors."""
        shift = row.logits.max() + np.log(row.masses().sum())
        return row.logits - shift if enabled else row.logits

    @staticmethod
    def mask(row: Row, mask: ArrayLike) -> Floats:
        """-inf where not allowed: bool [<= V], or int32 words, bit i % 32 of word i // 32; beyond its end: banned."""
        bits = np.asarray(mask)
        if bits.dtype != np.bool_:
            bits = np.unpackbits(bits.astype("<i4").view(np.uint8), bitorder="little")
        allowed = np.flatnonzero(bits[: len(row.logits)])
        return row.only(allowed)
