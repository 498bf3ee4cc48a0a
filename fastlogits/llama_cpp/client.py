"""The module llama_cpp, once it is needed, and what of it must be there."""

from __future__ import annotations

from typing import Any

from fastlogits._common.errors import import_error


def client_of(llama: Any) -> Any:
    """The client's module, once it is sure that `llama` is what this adapter knows."""
    try:
        import llama_cpp
    except ImportError as error:
        install = "fastlogits.llama_cpp needs llama-cpp-python: pip install llama-cpp-python"
        raise import_error(error, ("llama_cpp",), install) from error
    if not isinstance(llama, llama_cpp.Llama):
        raise TypeError(f"llama must be a llama_cpp.Llama, got {type(llama).__name__}")
    needed = ("_init_sampler", "_input_ids", "_seed", "last_n_tokens_size", "n_vocab", "logits_to_logprobs")
    if missing := [name for name in needed if not hasattr(llama, name)]:
        version = getattr(llama_cpp, "__version__", "unknown")
        raise TypeError(f"llama-cpp-python {version} is not supported: Llama has no {', '.join(missing)}")
    return llama_cpp
