"""transformers' logits processors on our kernels, several as one, and the sampled decoding step after ``generate``.

>>> model.generate(ids, do_sample=True, top_p=0.9, custom_generate=fastlogits.transformers.sample)  # doctest: +SKIP

Every class has transformers' name, arguments and results, and works on CPU tensors without changing them; one that the
installed transformers lacks is an ImportError when it is asked for. Needs transformers and torch
(``pip install transformers torch``), which are imported with this module.
"""

from __future__ import annotations

from typing import Any as _Any

from fastlogits._common.errors import import_error as _import_error

try:
    import torch as _torch
    import transformers as _transformers
except ImportError as error:
    raise _import_error(
        error,
        ("transformers", "torch"),
        "fastlogits.transformers needs transformers and torch: pip install transformers torch",
    ) from error

from fastlogits.transformers import _processors
from fastlogits.transformers._fused import Fused, from_generation_config, fused
from fastlogits.transformers._generate import sample
from fastlogits.transformers._processors import *  # noqa: F403

del _torch

__all__ = ["Fused", "from_generation_config", "fused", "sample"]
__all__ += _processors.__all__


def __getattr__(name: str) -> _Any:
    if name in _processors.ABSENT:
        raise ImportError(
            f"{name} needs transformers with that class, transformers {_transformers.__version__} has none"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
