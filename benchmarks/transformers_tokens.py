"""Time of a token in transformers' generate: greedy, sampled by transformers, sampled by fastlogits.

    python benchmarks/transformers_tokens.py [--rounds 30] [--gguf MODEL.gguf]

The model is a random Llama of two small layers and 128,256 tokens, or one from a GGUF file. One thread on one core, the
ways in turns; medians of milliseconds a token, and as multiples of greedy.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import measure
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

import fastlogits.transformers as ours

TOKENS = 48
STEERING: dict[str, dict[str, Any]] = {
    "top_p": {"top_p": 0.95, "top_k": 0},
    "temperature, top_k, top_p": {"temperature": 0.8, "top_k": 50, "top_p": 0.95},
    "temperature alone": {"temperature": 0.8, "top_k": 0},
    "temperature, top_k, top_p, repetition_penalty": {
        "temperature": 0.8, "top_k": 50, "top_p": 0.95, "repetition_penalty": 1.1
    },
    "temperature, top_k, top_p, output_scores": {
        "temperature": 0.8, "top_k": 50, "top_p": 0.95, "output_scores": True, "return_dict_in_generate": True
    },
}  # fmt: skip


def random_llama() -> Any:
    """Two small layers, many tokens."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=128_256, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        initializer_range=0.4, eos_token_id=None, bos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


def ways(model: Any, steering: dict[str, Any]) -> dict[str, Callable[[], Any]]:
    """Calls that generate as many tokens each."""
    prompt = torch.tensor([[1, 2, 3, 4]])
    always = {
        "max_new_tokens": TOKENS, "min_new_tokens": TOKENS, "attention_mask": torch.ones_like(prompt), "pad_token_id": 0
    }  # fmt: skip
    plain = {name: value for name, value in steering.items() if name.startswith(("output", "return"))}
    return {
        "greedy": lambda: model.generate(prompt, do_sample=False, **always, **plain),
        "transformers": lambda: model.generate(prompt, do_sample=True, **always, **steering),
        "fastlogits": lambda: model.generate(prompt, do_sample=True, custom_generate=ours.sample, **always, **steering),
    }


def medians(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Milliseconds a token."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) / TOKENS * 1e3 for name, each in times.items()}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--gguf", type=Path, help="a model in place of the random one")
    given = parser.parse_args()
    measure.pin()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    model = random_llama()
    if given.gguf:
        model = AutoModelForCausalLM.from_pretrained(given.gguf.parent, gguf_file=given.gguf.name, dtype=torch.float32)
    print(f"{'':<48}{'greedy':>9}{'transformers':>22}{'fastlogits':>22}")
    for name, steering in STEERING.items():
        found = medians(ways(model, steering), given.rounds)
        shown = [f"{found[who]:.2f} ({found[who] / found['greedy']:.2f})" for who in ("transformers", "fastlogits")]
        print(f"{name:<48}{found['greedy']:>9.2f}{shown[0]:>22}{shown[1]:>22}", flush=True)


if __name__ == "__main__":
    main()
