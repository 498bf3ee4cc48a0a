"""From logits to the next token on the CPU: exact, bit-identical on every machine, in one or two reads of the row."""

from importlib.metadata import PackageNotFoundError, version

from fastlogits._common import startup as _startup

try:
    from fastlogits import cpu
except ImportError as error:
    _startup.explain(error)
    raise

from fastlogits import reference, steps
from fastlogits._common.errors import Status
from fastlogits.arrays import TopK, argmax, log_softmax, logsumexp, softmax, top_k
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
from fastlogits.sampling.batch import Batch
from fastlogits.sampling.beams import BeamStep
from fastlogits.sampling.combine import contrastive, dexperts, guide
from fastlogits.sampling.functions import beam_step, candidates, filter_logits, gumbel_max, probs, sample, verify
from fastlogits.sampling.sampler import Candidates, Explanation, GumbelMax, Sampler, SampleResult
from fastlogits.sampling.speculative import Verified
from fastlogits.sampling.state import State
from fastlogits.scoring.classifier import LabelClassifier
from fastlogits.scoring.comparison import (
    Comparison,
    ComparisonTotals,
    compare_distributions,
    cross_entropy,
    js_divergence,
    kl_divergence,
    top_n_agreement,
    total_variation,
)
from fastlogits.scoring.completions import (
    CompletionPrefixes,
    CompletionScores,
    completion_prefixes,
    score_completions,
)
from fastlogits.scoring.labels import label_logprobs
from fastlogits.scoring.shards import merge, shard_peaks, shard_summary
from fastlogits.scoring.targets import TokenLogprobs, token_logprobs
from fastlogits.scoring.texts import TextScore, Window, perplexity, score_text, sliding_windows

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
