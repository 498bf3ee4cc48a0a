"""The array functions and the sampler on torch CPU tensors, under torch's names, in and out without a copy.

Eager calls go straight to the kernels; under `torch.compile` the same functions are operators of `torch.library`, so
``fullgraph=True`` passes. Needs torch (``pip install torch``), which is imported with this module.
"""

from __future__ import annotations

from fastlogits._common.errors import import_error as _import_error

try:
    import torch as _torch
except ImportError as error:
    raise _import_error(error, ("torch",), "fastlogits.torch needs torch: pip install torch") from error

from fastlogits.torch._arrays import argmax, log_softmax, logsumexp, selective_log_softmax, softmax, topk
from fastlogits.torch._draws import filter_logits, multinomial, sample

del _torch

__all__ = [
    "argmax", "filter_logits", "log_softmax", "logsumexp", "multinomial", "sample", "selective_log_softmax", "softmax",
    "topk",
]  # fmt: skip
