"""From logits to the next token on the CPU: exact, bit-identical on every machine, in one or two reads of the row."""

import importlib
from typing import TYPE_CHECKING

from fastlogits._common import startup as _startup

try:
    # A source tree that was not built has a folder of this name, without the functions.
    from fastlogits._core import isa as _isa  # noqa: F401
except ImportError as error:
    _startup.explain(error)
    raise

if TYPE_CHECKING:
    from fastlogits import arrays as arrays
    from fastlogits import calibration as calibration
    from fastlogits import cpu, reference, steps
    from fastlogits import sampling as sampling
    from fastlogits import scoring as scoring
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
    from fastlogits.scoring.texts import TextScore, perplexity, score_text
    from fastlogits.scoring.windows import Window, sliding_windows

    __version__: str

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

# Where each name is written. Its module is loaded when the name is first asked for: the import of the package costs
# little next to that of NumPy, and a program pays for what it uses.
_HOMES = {
    "_common.errors": ("Status",),
    "arrays": ("TopK", "argmax", "log_softmax", "logsumexp", "softmax", "top_k"),
    "calibration": (
        "ReliabilityCurve", "Scaling", "TemperatureFit", "brier_score", "calibration_error", "fit_scaling",
        "fit_temperature", "negative_log_likelihood", "reliability_curve",
    ),
    "sampling.batch": ("Batch",),
    "sampling.beams": ("BeamStep",),
    "sampling.combine": ("contrastive", "dexperts", "guide"),
    "sampling.functions": ("beam_step", "candidates", "filter_logits", "gumbel_max", "probs", "sample", "verify"),
    "sampling.sampler": ("Candidates", "Explanation", "GumbelMax", "SampleResult", "Sampler"),
    "sampling.speculative": ("Verified",),
    "sampling.state": ("State",),
    "scoring.classifier": ("LabelClassifier",),
    "scoring.comparison": (
        "Comparison", "ComparisonTotals", "compare_distributions", "cross_entropy", "js_divergence", "kl_divergence",
        "top_n_agreement", "total_variation",
    ),
    "scoring.completions": ("CompletionPrefixes", "CompletionScores", "completion_prefixes", "score_completions"),
    "scoring.labels": ("label_logprobs",),
    "scoring.shards": ("merge", "shard_peaks", "shard_summary"),
    "scoring.targets": ("TokenLogprobs", "token_logprobs"),
    "scoring.texts": ("TextScore", "perplexity", "score_text"),
    "scoring.windows": ("Window", "sliding_windows"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}
_MODULES = ("arrays", "calibration", "cpu", "reference", "sampling", "scoring", "steps")

if not TYPE_CHECKING:  # to a type checker, a name that is not written above is a mistake

    def __getattr__(name):
        """The value of a public name, loaded when it is first asked for."""
        if name in _HOME_OF:
            value = getattr(importlib.import_module(f"fastlogits.{_HOME_OF[name]}"), name)
        elif name in _MODULES:
            return importlib.import_module(f"fastlogits.{name}")
        elif name == "__version__":
            value = _startup.version()
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value

    def __dir__():
        """The public names, loaded or not, and what else the module holds."""
        return sorted({*globals(), *__all__, *_MODULES})
