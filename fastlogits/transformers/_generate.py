"""The sampled decoding step after transformers' own loop."""

from __future__ import annotations

import copy
import inspect
import sys
from typing import Any

import torch
from transformers import GenerationMixin
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList

from fastlogits.transformers._chain import Chain, Tensor
from fastlogits.transformers._fused import Fused


def sample(
    model: Any,
    input_ids: Tensor,
    logits_processor: Any,
    stopping_criteria: Any,
    generation_config: Any,
    synced_gpus: bool = False,
    streamer: Any = None,
    **model_kwargs: Any,
) -> Any:
    """For ``model.generate(..., do_sample=True, custom_generate=sample)``: transformers' loop over tokens drawn here.

    Parameters
    ----------
    model, input_ids, logits_processor, stopping_criteria, generation_config, synced_gpus, streamer, **model_kwargs
        What ``generate`` passes; the list of processors is finished and runs as `fused` has it. Of what it keeps
        to itself, ``streamer``, ``assistant_model`` and ``synced_gpus`` are taken from the call of ``generate``.

    Returns
    -------
    What ``generate`` returns
        ``output_scores`` holds the processed scores.

    Raises
    ------
    ValueError, TypeError
        Beams, constraints, prompt lookup or other assistants, synchronised GPUs, scores on another device; a row with
        NaN.

    Notes
    -----
    The distribution is that of transformers. Tokens come from our generator: ``torch.manual_seed`` decides the seed of
    a call of ``generate``, and a token depends on it, on its row and its place alone.

    Examples
    --------
    >>> import torch, transformers
    >>> import fastlogits.transformers
    >>> config = transformers.LlamaConfig(
    ...     vocab_size=100, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    ... )
    >>> model = transformers.LlamaForCausalLM(config)
    >>> ids = model.generate(
    ...     torch.tensor([[1, 2, 3]]), do_sample=True, top_p=0.9, max_new_tokens=4, min_new_tokens=4, pad_token_id=0,
    ...     custom_generate=fastlogits.transformers.sample,
    ... )
    >>> ids.shape
    torch.Size([1, 7])
    """
    kept = _kept(model)
    assistant = model_kwargs.pop("assistant_model", None) or kept.get("assistant_model")
    _refuse(generation_config, synced_gpus or kept.get("synced_gpus"), assistant)
    config = copy.copy(generation_config)
    config.do_sample = False
    if generation_config.do_sample:
        wanted = bool(config.return_dict_in_generate and config.output_scores)
        last: Any = _Draws(Chain(logits_processor), int(torch.randint(2**63 - 1, ())), wanted)
    else:
        last = Fused(logits_processor)
    found = model._sample(
        input_ids,
        logits_processor=LogitsProcessorList([last]),
        stopping_criteria=stopping_criteria,
        generation_config=config,
        streamer=kept.get("streamer") if streamer is None else streamer,
        **model_kwargs,
    )
    if getattr(found, "scores", None) is not None:
        found.scores = tuple(scores.as_subclass(torch.Tensor) for scores in found.scores)
    return found


class _Drawn(torch.Tensor):
    """Scores whose argmax along the last axis is the token drawn from them."""

    ids: Tensor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Torch's functions on plain tensors, but for that one."""
        if func is torch.argmax and isinstance(args[0], cls):
            return args[0].ids
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))


class _Draws(LogitsProcessor):
    """The last processor: draws."""

    def __init__(self, chain: Chain, seed: int, wanted: bool) -> None:
        self.chain, self.seed, self.wanted = chain, seed, wanted

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The scores, processed where they are wanted, that know what was drawn."""
        ids, scores = self.chain.draw(input_ids, scores, self.seed, self.wanted)
        found = scores.as_subclass(_Drawn)
        found.ids = ids
        return found


def _kept(model: Any) -> dict[str, Any]:
    """What the call of ``model.generate`` that is running does not pass to a custom_generate.

    Nothing if `sample` was called directly.
    """
    body = inspect.unwrap(GenerationMixin.generate).__code__
    frame: Any = sys._getframe(1)
    while frame is not None:
        if frame.f_code is body and frame.f_locals["self"] is model:
            return {name: frame.f_locals.get(name) for name in ("streamer", "assistant_model", "synced_gpus")}
        frame = frame.f_back
    return {}


def _refuse(config: Any, synced_gpus: Any, assistant_model: Any) -> None:
    """What is not one token per row and step."""
    if synced_gpus:
        raise ValueError("synced_gpus is not supported: scores must be on the CPU")
    if (config.num_beams or 1) > 1:
        raise ValueError(f"num_beams must be 1, got {config.num_beams}: beams are transformers' own work")
    for name in (
        "prompt_lookup_num_tokens", "assistant_early_exit", "use_mtp", "penalty_alpha", "dola_layers", "constraints",
        "force_words_ids",
    ):  # fmt: skip
        if getattr(config, name, None):
            raise ValueError(f"{name} is not supported, got {getattr(config, name)!r}")
    if assistant_model is not None:
        raise ValueError("assistant_model is not supported: leave it out")
