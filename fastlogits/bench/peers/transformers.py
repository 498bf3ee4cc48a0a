"""transformers: its processors in a list, then the draw as its sampling loop writes it; torch keeps to one thread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import transformers

from fastlogits.bench.checks import Found
from fastlogits.bench.jobs import DRAWN, SAMPLERS, Chain, Contestant
from fastlogits.bench.peers import Peer
from fastlogits.bench.peers.torch import one_thread, tensor
from fastlogits.bench.rows import Inputs

PEER = Peer("transformers", ("torch", "transformers"))

PROCESSORS: dict[str, Callable[[Any], Any]] = {
    "repetition_penalty": transformers.RepetitionPenaltyLogitsProcessor,
    "temperature": transformers.TemperatureLogitsWarper,
    "top_k": transformers.TopKLogitsWarper,
    "top_p": transformers.TopPLogitsWarper,
    "min_p": transformers.MinPLogitsWarper,
    "typical_p": transformers.TypicalLogitsWarper,
    "eta_cutoff": transformers.EtaLogitsWarper,
}


def processed(chain: Chain, i: Inputs) -> Callable[[], Any]:
    """Scores [1, vocab] after the chain's processors."""
    made = [PROCESSORS[name](value) for name, value in {**chain.penalties(), **chain.keywords}.items()]
    processors = transformers.LogitsProcessorList(made)
    x = tensor(i.rows[:1])
    context = torch.from_numpy(i.context[None]) if chain.edits else torch.zeros((1, 1), dtype=torch.long)
    return lambda: processors(context, x.to(torch.float32))


def _drawing(i: Inputs, chain: Chain) -> Contestant:
    scores = processed(chain, i)

    def call() -> int:
        probs = torch.softmax(scores(), dim=-1)
        return int(torch.multinomial(probs, num_samples=1).squeeze(1))

    def result() -> Found:
        probs = torch.softmax(scores(), dim=-1)[0]
        kept = torch.nonzero(probs).ravel()
        return Found(kept.numpy(), probs[kept].numpy())

    return Contestant(one_thread(call), one_thread(result))


PEER.ways.update(
    {
        name: partial(_drawing, chain=chain)
        for name, (chain, _) in DRAWN.items()
        if {*chain.penalties(), *chain.keywords} <= set(PROCESSORS)
    }
)


@PEER.does("filter_logits")
def _filter_logits(i: Inputs) -> Contestant:
    call = one_thread(processed(SAMPLERS["chain"], i))
    return Contestant(call, lambda: Found(None, call().numpy()))
