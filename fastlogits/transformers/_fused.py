"""Processors as one: neighbors that we know run together, in one or two reads of the scores."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from transformers.generation.logits_process import LogitsProcessor

from fastlogits.sampling.sampler import Sampler
from fastlogits.transformers._chain import Chain, Plan, Run, Tensor


class Fused(LogitsProcessor):
    """A list of processors as one; made by `fused` and `from_generation_config`.

    Attributes
    ----------
    processors : tuple
        What it was made of.
    """

    def __init__(self, processors: Iterable[Any]) -> None:
        self.chain = Chain(processors)

    @property
    def processors(self) -> tuple[Any, ...]:
        """What it was made of."""
        return tuple(self.chain.processors)

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """The processed scores [B, V], in a new tensor unless there is nothing to do."""
        return self.chain(input_ids, scores)

    def explain(self, scores: Tensor) -> list[Any]:
        """What runs for such scores: a Sampler for neighbors that are known, other processors as they are."""
        return [part.sampler if isinstance(part, Run) else part for part in self.chain.parts(scores)]


def fused(processors: Iterable[Any]) -> Fused:
    """One processor for a list of them, each of which may be transformers' own, ours or any other.

    Parameters
    ----------
    processors : iterable of processors
        In their order. Neighbors whose class is known here, under either name, run as one `Sampler`; others are called
        in their places.

    Returns
    -------
    Fused

    Notes
    -----
    The same scores as those of the list within the rounding of float32, and one rounding instead of one per processor.

    Examples
    --------
    >>> import torch, transformers
    >>> from fastlogits.transformers import fused
    >>> warpers = [transformers.TemperatureLogitsWarper(0.5), transformers.TopKLogitsWarper(2)]
    >>> fused(warpers)(torch.tensor([[0]]), torch.tensor([[1.0, 3.0, 2.0]]))
    tensor([[-inf, 6., 4.]])
    """
    return Fused(processors)


def from_generation_config(config: Any, *, encoder_input_ids: Any = None, prompt_length: int = 0) -> Fused:
    """One processor for all that a ``GenerationConfig`` says about scores.

    Parameters
    ----------
    config : GenerationConfig
        Its processors, and with ``do_sample`` its warpers.
    encoder_input_ids : token ids or one sequence per row, optional
        What ``encoder_repetition_penalty`` and ``encoder_no_repeat_ngram_size`` look at.
    prompt_length : int, default 0
        Where the output begins.

    Returns
    -------
    Fused

    Raises
    ------
    ValueError, TypeError
        A field that is not covered or out of its range; the message names it (`Sampler.from_hf`).

    Examples
    --------
    >>> import torch, transformers
    >>> from fastlogits.transformers import from_generation_config
    >>> config = transformers.GenerationConfig(do_sample=True, temperature=0.5, top_k=2)
    >>> from_generation_config(config)(torch.tensor([[0]]), torch.tensor([[1.0, 3.0, 2.0]]))
    tensor([[-inf, 6., 4.]])
    """
    ids = encoder_input_ids
    if isinstance(ids, torch.Tensor):
        ids = ids[0].tolist() if len(ids) == 1 else ids.tolist()
    sampler = Sampler.from_hf(config, encoder_ids=ids, prompt_length=prompt_length)
    if sampler.beside:
        scale = config.guidance_scale
        raise ValueError(f"guidance_scale={scale} needs the model; generate makes its processor, and fused takes that")
    steps = sampler.steps if config.do_sample else sampler.steps[:-1]  # without it: all but the choice of the maximum
    return Fused([Plan(steps, prompt_length)])
