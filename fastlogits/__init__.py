"""From logits to the next token on the CPU: exact, bit-identical on every machine, in one or two reads of the row."""

from importlib.metadata import PackageNotFoundError, version

from fastlogits import _startup

try:
    from fastlogits import cpu
except ImportError as error:
    _startup.explain(error)
    raise

from fastlogits import reference, steps
from fastlogits._beams import BeamStep
from fastlogits._errors import Status
from fastlogits._speculative import Verified
from fastlogits.arrays import TopK, argmax, log_softmax, logsumexp, softmax, top_k
from fastlogits.batch import Batch
from fastlogits.blends import contrastive, dexperts, guide
from fastlogits.calibration import (
    ReliabilityCurve,
    Scaling,
    TemperatureFit,
    brier_score,
    calibration_error,
    fit_scaling,
    fit_temperature,
    negative_log_likelihood,
    reliability_curve,
)
from fastlogits.classifier import LabelClassifier
from fastlogits.comparison import (
    Comparison,
    ComparisonTotals,
    compare_distributions,
    cross_entropy,
    js_divergence,
    kl_divergence,
    top_n_agreement,
    total_variation,
)
from fastlogits.completions import (
    CompletionPrefixes,
    CompletionScores,
    completion_prefixes,
    score_completions,
)
from fastlogits.labels import label_logprobs
from fastlogits.pipeline import beam_step, candidates, filter_logits, gumbel_max, probs, sample, verify
from fastlogits.sampler import Candidates, Explanation, GumbelMax, Sampler, SampleResult
from fastlogits.scoring import TokenLogprobs, token_logprobs
from fastlogits.shards import merge, shard_peaks, shard_summary
from fastlogits.state import State
from fastlogits.texts import TextScore, Window, perplexity, score_text, sliding_windows

try:
    __version__ = version("fastlogits")
except PackageNotFoundError:  # a source tree that was built but not installed
    __version__ = "0+unknown"

__all__ = [
    "Batch",
    "BeamStep",
    "Candidates",
    "Comparison",
    "ComparisonTotals",
    "CompletionPrefixes",
    "CompletionScores",
    "Explanation",
    "GumbelMax",
    "LabelClassifier",
    "ReliabilityCurve",
    "SampleResult",
    "Sampler",
    "Scaling",
    "State",
    "Status",
    "TemperatureFit",
    "TextScore",
    "TokenLogprobs",
    "TopK",
    "Verified",
    "Window",
    "__version__",
    "argmax",
    "beam_step",
    "brier_score",
    "calibration_error",
    "candidates",
    "compare_distributions",
    "completion_prefixes",
    "contrastive",
    "cpu",
    "cross_entropy",
    "dexperts",
    "filter_logits",
    "fit_scaling",
    "fit_temperature",
    "guide",
    "gumbel_max",
    "js_divergence",
    "kl_divergence",
    "label_logprobs",
    "log_softmax",
    "logsumexp",
    "merge",
    "negative_log_likelihood",
    "perplexity",
    "probs",
    "reference",
    "reliability_curve",
    "sample",
    "score_completions",
    "score_text",
    "shard_peaks",
    "shard_summary",
    "sliding_windows",
    "softmax",
    "steps",
    "token_logprobs",
    "top_k",
    "top_n_agreement",
    "total_variation",
    "verify",
]
