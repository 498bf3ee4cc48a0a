"""transformers' logits processors on our kernels, several as one, and the sampled decoding step behind ``generate``.

>>> model.generate(ids, do_sample=True, top_p=0.9, custom_generate=fastlogits.transformers.sample)  # doctest: +SKIP

Every class has transformers' name, arguments and results, and works on CPU tensors without changing them. Needs
transformers and torch (``pip install transformers torch``), which are imported with this module.
"""

from __future__ import annotations

try:
    import torch as _torch
    import transformers as _transformers
except ImportError:
    raise ImportError("fastlogits.transformers needs transformers and torch: pip install transformers torch") from None

from fastlogits.transformers import _processors
from fastlogits.transformers._fused import Fused, from_generation_config, fused
from fastlogits.transformers._generate import sample
from fastlogits.transformers._processors import *  # noqa: F403

del _torch, _transformers

__all__ = ["Fused", "from_generation_config", "fused", "sample"]
__all__ += _processors.__all__
