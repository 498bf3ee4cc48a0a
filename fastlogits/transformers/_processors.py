"""transformers' logits processors under their names: its constructors, our steps."""

from __future__ import annotations

import math

import torch

from fastlogits import steps as s
from fastlogits.sampling import combine as blends
from fastlogits.transformers._chain import Plan, Rows, Steered, Tensor, checked, given_ids
from fastlogits.transformers._installed import Absent, theirs

__all__ = [
    "ClassifierFreeGuidanceLogitsProcessor", "EncoderNoRepeatNGramLogitsProcessor",
    "EncoderRepetitionPenaltyLogitsProcessor", "EpsilonLogitsWarper", "EtaLogitsWarper",
    "ExponentialDecayLengthPenalty", "ForcedBOSTokenLogitsProcessor", "ForcedEOSTokenLogitsProcessor",
    "InfNanRemoveLogitsProcessor", "LogitNormalization", "MinLengthLogitsProcessor",
    "MinNewTokensLengthLogitsProcessor", "MinPLogitsWarper", "NoBadWordsLogitsProcessor",
    "NoRepeatNGramLogitsProcessor", "PrefixConstrainedLogitsProcessor", "RepetitionPenaltyLogitsProcessor",
    "SequenceBiasLogitsProcessor", "SuppressTokensAtBeginLogitsProcessor", "SuppressTokensLogitsProcessor",
    "TemperatureLogitsWarper", "TopHLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper", "TypicalLogitsWarper",
    "UnbatchedClassifierFreeGuidanceLogitsProcessor",
]  # fmt: skip

_BIAS = "sequence_bias length_1_bias multi_token_biases prepared_bias_variables"


class TemperatureLogitsWarper(Steered, theirs.TemperatureLogitsWarper, attributes="temperature"):
    """Divides the scores by ``temperature``."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.Temperature(rows.number(self.temperature)),))


class TopKLogitsWarper(Steered, theirs.TopKLogitsWarper, attributes="top_k filter_value min_tokens_to_keep"):
    """Keeps the ``top_k`` largest scores and what equals the last of them."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.TopK(self.top_k, ties="keep"),))


class TopPLogitsWarper(Steered, theirs.TopPLogitsWarper, attributes="top_p filter_value min_tokens_to_keep"):
    """Keeps the most likely tokens up to probability ``top_p``, at least ``min_tokens_to_keep``."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.TopP(self.top_p, self.min_tokens_to_keep),))


class TopHLogitsWarper(Steered, theirs.TopHLogitsWarper, attributes="top_h top_n filter_value"):
    """Keeps the most likely of 100 tokens up to the share ``top_h`` of their entropy."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.TopH(self.top_h),))


class MinPLogitsWarper(Steered, theirs.MinPLogitsWarper, attributes="min_p filter_value min_tokens_to_keep"):
    """Keeps tokens of at least ``min_p`` times the largest probability."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.MinP(self.min_p, self.min_tokens_to_keep),))


class TypicalLogitsWarper(Steered, theirs.TypicalLogitsWarper, attributes="mass filter_value min_tokens_to_keep"):
    """Keeps the tokens whose surprise is nearest to the entropy, up to probability ``mass``."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.TypicalP(self.mass, self.min_tokens_to_keep, ties="keep"),))


class EpsilonLogitsWarper(Steered, theirs.EpsilonLogitsWarper, attributes="epsilon filter_value min_tokens_to_keep"):
    """Keeps tokens of probability ``epsilon`` at least."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.EpsilonCutoff(rows.number(self.epsilon), self.min_tokens_to_keep),))


class EtaLogitsWarper(Steered, theirs.EtaLogitsWarper, attributes="epsilon filter_value min_tokens_to_keep"):
    """Keeps tokens of probability min(epsilon, sqrt(epsilon) exp(-entropy)) at least."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.EtaCutoff(float(self.epsilon), self.min_tokens_to_keep),))


class RepetitionPenaltyLogitsProcessor(
    Steered,
    theirs.RepetitionPenaltyLogitsProcessor,
    attributes="penalty prompt_ignore_length logits_indices cu_seq_lens_q",
):
    """Divides positive and multiplies negative scores of earlier tokens, ``prompt_ignore_length`` of them left out."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        ignored = self.prompt_ignore_length
        if isinstance(ignored, torch.Tensor):
            ignored = ignored.numpy()
        penalty = s.RepetitionPenalty(rows.number(self.penalty), prompt=ignored is None)
        return Plan((penalty,), ignored)


class EncoderRepetitionPenaltyLogitsProcessor(
    Steered, theirs.EncoderRepetitionPenaltyLogitsProcessor, attributes="penalty encoder_input_ids"
):
    """Raises the scores of the tokens of ``encoder_input_ids``."""

    def steps(self, rows: Rows) -> Plan:
        """One step; `penalty` holds 1 / the argument."""
        ids = self.encoder_input_ids
        if ids.ndim != 2:
            raise ValueError(f"encoder_input_ids must be [rows, tokens], got shape {list(ids.shape)}")
        spread = ids.repeat_interleave(_beams(rows.size, len(ids)), dim=0).tolist()
        return Plan((s.EncoderRepetitionPenalty(1 / rows.number(self.penalty), spread),))


class NoRepeatNGramLogitsProcessor(Steered, theirs.NoRepeatNGramLogitsProcessor, attributes="ngram_size"):
    """Bans what would complete an n-gram that the tokens hold already."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.NoRepeatNgram(self.ngram_size),))


class EncoderNoRepeatNGramLogitsProcessor(
    Steered, theirs.EncoderNoRepeatNGramLogitsProcessor, attributes="ngram_size batch_size generated_ngrams"
):
    """Bans what would complete an n-gram of ``encoder_input_ids``."""

    def steps(self, rows: Rows) -> Plan:
        """The n-grams of its object, but those with tokens that the scores lack, are sequences not to be completed."""
        beams = _beams(rows.size, self.batch_size)
        found = [
            [
                [*prefix, token]
                for prefix, tokens in ngrams.items()
                for token in dict.fromkeys(tokens)
                if len(rows.tokens([*prefix, token])) == len(prefix) + 1
            ]
            for ngrams in self.generated_ngrams
        ]
        return Plan((s.BadWords([found[row // beams] for row in range(rows.size)]),) if any(found) else ())


class SequenceBiasLogitsProcessor(Steered, theirs.SequenceBiasLogitsProcessor, attributes=_BIAS):
    """Adds a bias to the last token of a sequence where its others end the tokens."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.SequenceBias({key: rows.number(bias) for key, bias in self.sequence_bias.items()}),))


class NoBadWordsLogitsProcessor(Steered, theirs.NoBadWordsLogitsProcessor, attributes=_BIAS + " bad_word_ids"):
    """Bans the last token of a sequence where its others end the tokens."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        words = [list(each) for each in self.sequence_bias]
        return Plan((s.BadWords(words),) if words else ())


class PrefixConstrainedLogitsProcessor(
    Steered, theirs.PrefixConstrainedLogitsProcessor, attributes="_prefix_allowed_tokens_fn _num_beams"
):
    """Leaves the tokens that ``prefix_allowed_tokens_fn(batch_id, tokens)`` allows."""

    def steps(self, rows: Rows) -> None:
        """A function of the user's, asked at every call."""

    def work(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The allowed scores; 0 in their place where all beams of a sequence had banned all of them."""
        n = len(given_ids(input_ids))
        if len(checked(scores)) != n:
            raise ValueError(f"scores must have a row for each of {n} rows of input_ids, got {len(scores)}")
        if n % self._num_beams:
            raise ValueError(f"input_ids must have a multiple of num_beams={self._num_beams} rows, got {n}")
        out = torch.full_like(scores, -math.inf)
        for batch in range(n // self._num_beams):
            rows = range(batch * self._num_beams, (batch + 1) * self._num_beams)
            allowed = [self._prefix_allowed_tokens_fn(batch, input_ids[row]) for row in rows]
            if not all(map(len, allowed)):
                raise ValueError(f"prefix_allowed_tokens_fn returned no tokens for batch ID {batch}")
            kept = [scores[row, ids] for row, ids in zip(rows, allowed, strict=True)]
            none = all(bool(torch.isneginf(each).all()) for each in kept)
            for row, ids, values in zip(rows, allowed, kept, strict=True):
                out[row, ids] = torch.zeros_like(values) if none else values
        return out


class ForcedBOSTokenLogitsProcessor(Steered, theirs.ForcedBOSTokenLogitsProcessor, attributes="bos_token_id"):
    """Leaves ``bos_token_id`` alone, with score 0, after one token."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.ForcedBosToken(self.bos_token_id),))


class ForcedEOSTokenLogitsProcessor(
    Steered, theirs.ForcedEOSTokenLogitsProcessor, attributes="max_length eos_token_id"
):
    """Leaves ``eos_token_id`` alone, with score 0, as token number ``max_length``."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.ForcedEosToken(self.eos_token_id.reshape(-1).tolist(), self.max_length),))


class MinLengthLogitsProcessor(Steered, theirs.MinLengthLogitsProcessor, attributes="min_length eos_token_id"):
    """Bans ``eos_token_id`` while there are less than ``min_length`` tokens."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return _banned_until(self.min_length, rows.tokens(self.eos_token_id))


class MinNewTokensLengthLogitsProcessor(
    Steered, theirs.MinNewTokensLengthLogitsProcessor, attributes="prompt_length_to_skip min_new_tokens eos_token_id"
):
    """Bans ``eos_token_id`` while there are less than ``min_new_tokens`` after ``prompt_length_to_skip``."""

    def steps(self, rows: Rows) -> Plan:
        """One step, over the whole length."""
        return _banned_until(self.prompt_length_to_skip + self.min_new_tokens, rows.tokens(self.eos_token_id))


class ExponentialDecayLengthPenalty(
    Steered, theirs.ExponentialDecayLengthPenalty, attributes="regulation_start regulation_factor eos_token_id"
):
    """Raises ``eos_token_id`` ever more from a length on."""

    def steps(self, rows: Rows) -> Plan:
        """One step, over the whole length."""
        penalty = (self.regulation_start, self.regulation_factor)
        return Plan((s.ExponentialDecayLengthPenalty(penalty, self.eos_token_id.reshape(-1).tolist()),), 0)


class SuppressTokensLogitsProcessor(Steered, theirs.SuppressTokensLogitsProcessor, attributes="suppress_tokens"):
    """Bans ``suppress_tokens``."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.SuppressTokens(rows.tokens(self.suppress_tokens)),))


class SuppressTokensAtBeginLogitsProcessor(
    Steered, theirs.SuppressTokensAtBeginLogitsProcessor, attributes="begin_suppress_tokens begin_index"
):
    """Bans ``begin_suppress_tokens`` after ``begin_index`` tokens."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.BeginSuppressTokens(rows.tokens(self.begin_suppress_tokens), self.begin_index),))


class InfNanRemoveLogitsProcessor(Steered, theirs.InfNanRemoveLogitsProcessor):
    """Repairs the scores: NaN to 0, infinities to the largest and the lowest value of the type."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.RemoveInvalidValues(),))


class LogitNormalization(Steered, theirs.LogitNormalization):
    """Log-softmax of the scores."""

    def steps(self, rows: Rows) -> Plan:
        """One step."""
        return Plan((s.RenormalizeLogits(),))


class ClassifierFreeGuidanceLogitsProcessor(
    Steered, theirs.ClassifierFreeGuidanceLogitsProcessor, attributes="guidance_scale"
):
    """u + guidance_scale (c - u), c the first and u the second half of the rows."""

    def steps(self, rows: Rows) -> None:
        """Twice as many rows come in as go out."""

    def work(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The guided scores [B, V] of scores [2 B, V]."""
        x, half = checked(scores), len(given_ids(input_ids))
        if len(x) != 2 * half:
            raise ValueError(f"scores must hold two rows per sequence, {2 * half}, got {len(x)}")
        out = torch.empty(scores[:half].shape, dtype=scores.dtype)
        blends.guide(scores[:half], scores[half:], self.guidance_scale, space="raw", out=out)
        return out


class UnbatchedClassifierFreeGuidanceLogitsProcessor(
    Steered,
    theirs.UnbatchedClassifierFreeGuidanceLogitsProcessor,
    attributes="guidance_scale model unconditional_context",
):
    """u + guidance_scale (c - u) of log-softmaxes; ``model`` is asked for the unconditional scores u."""

    def steps(self, rows: Rows) -> None:
        """A second run of the model."""

    def work(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The guided scores."""
        if self.guidance_scale == 1:
            return scores.log_softmax(dim=-1)
        beside = self.get_unconditional_logits(given_ids(input_ids))[:, -1].to(scores.dtype)
        out = torch.empty(scores.shape, dtype=scores.dtype)
        blends.guide(scores, beside, self.guidance_scale, out=out)
        return out


def _beams(rows: int, encoded: int) -> int:
    """How many rows of scores follow from each row of the encoder."""
    if not encoded or rows % encoded:
        raise ValueError(f"scores must have a multiple of the {encoded} rows of encoder_input_ids, got {rows}")
    return rows // encoded


def _banned_until(length: int, ids: list[int]) -> Plan:
    """Bans some tokens while there are fewer than `length`."""
    return Plan((s.MinLength(length, ids),) if length and ids else ())


#: Classes that the installed transformers lacks; they are not here.
ABSENT = tuple(name for name in __all__ if issubclass(globals()[name], Absent))
__all__ = [name for name in __all__ if name not in ABSENT]
for _name in ABSENT:
    del globals()[_name]
