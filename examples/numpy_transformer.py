"""A decoding loop in NumPy alone: a small random transformer with a key-value cache, and a Sampler behind it.

The weights are random, so the tokens mean nothing; the loop is the one that a model with weights of its own needs. Run
it with ``python examples/numpy_transformer.py [seed]``.
"""

from __future__ import annotations

import math
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

import fastlogits as fl

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOCAB, WIDTH, HEADS, LAYERS = 32_000, 64, 4, 2


class Transformer:
    """Attention and a two-layer perceptron in each layer; keys and values are kept."""

    def __init__(self, length: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.embedding = rng.normal(size=(VOCAB, WIDTH)).astype(np.float32)
        self.head = (rng.normal(size=(VOCAB, WIDTH)) / 3).astype(np.float32)
        shapes = {
            "qkv": (WIDTH, 3 * WIDTH),
            "out": (WIDTH, WIDTH),
            "up": (WIDTH, 4 * WIDTH),
            "down": (4 * WIDTH, WIDTH),
        }
        self.layers = [
            {name: (rng.normal(size=shape) / math.sqrt(shape[0])).astype(np.float32) for name, shape in shapes.items()}
            for _ in range(LAYERS)
        ]
        angles = np.arange(length)[:, None] / 10_000 ** (np.arange(WIDTH) / WIDTH)
        self.places = np.where(np.arange(WIDTH) % 2, np.cos(angles), np.sin(angles)).astype(np.float32)
        self.cache = np.zeros((LAYERS, 2, HEADS, length, WIDTH // HEADS), np.float32)  # keys and values

    def __call__(self, token: int, place: int) -> NDArray[np.float32]:
        """Logits [VOCAB] of the token behind `token`, which stands at `place`."""
        x = self.embedding[token] + self.places[place]
        for weights, (keys, values) in zip(self.layers, self.cache, strict=True):
            query, keys[:, place], values[:, place] = (normed(x) @ weights["qkv"]).reshape(3, HEADS, -1)
            scores = np.einsum("hd,hld->hl", query, keys[:, : place + 1]) / math.sqrt(WIDTH // HEADS)
            seen = np.einsum("hl,hld->hd", fl.softmax(scores), values[:, : place + 1])
            x = x + seen.reshape(-1) @ weights["out"]
            x = x + np.maximum(normed(x) @ weights["up"], 0) @ weights["down"]
        logits: NDArray[np.float32] = self.head @ normed(x)
        return logits


def normed(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """To zero mean and unit variance."""
    return (x - x.mean()) / np.sqrt(x.var() + np.float32(1e-5))


def generate(sampler: fl.Sampler, prompt: list[int], length: int, seed: int) -> tuple[NDArray[np.int64], float]:
    """The prompt with `length` tokens behind it, and the seconds that sampling them took.

    The context goes into every call: penalties count it, and its length is the place in the random stream.
    """
    tokens = np.zeros(len(prompt) + length, np.int64)  # allocated once; a call takes the part that is written
    tokens[: len(prompt)] = prompt
    model, spent = Transformer(len(tokens)), 0.0
    for place in range(len(tokens) - 1):
        logits = model(int(tokens[place]), place)
        if place + 1 < len(prompt):
            continue
        start = time.perf_counter()
        tokens[place + 1] = sampler.sample(logits, context=tokens[: place + 1], prompt_length=len(prompt), rng=seed)
        spent += time.perf_counter() - start
    return tokens, spent


def main(seed: int = 7) -> None:
    """Generate, and tell how much of the time went into sampling."""
    sampler = fl.Sampler(repetition_penalty=1.1, temperature=0.8, top_k=50, top_p=0.95)
    print(sampler)
    start = time.perf_counter()
    tokens, spent = generate(sampler, [1, 17, 4242], 64, seed)
    print("tokens:", *tokens.tolist())
    print(f"{(time.perf_counter() - start) / 64 * 1e3:.2f} ms a token, {spent / 64 * 1e3:.3f} ms of it sampling")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
