"""A decoding loop: a model gives a row of logits, a Sampler gives the token, until the text is long enough.

The model is a stand-in in NumPy (which letter follows which two, counted in a few sentences); any model that answers
with a row of logits takes its place. Run it with ``python examples/decode_loop.py [seed]``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

import fastlogits

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOCAB = 128  # one token per ASCII character
SAMPLE_TEXT = """the ship came home at last. the keeper of the light saw the ship from the top of the tower and rang
the bell. all the people of the harbour came down to the shore to see the ship and the men who had sailed her home.
the men were tired and the sails were torn, but the hold was full, and there was bread and song on the shore till
the stars came out over the harbour and the light of the tower turned over the sea."""


class Model:
    """Log of the smoothed counts of (letter, letter, next letter)."""

    def __init__(self, text: str) -> None:
        letters = np.frombuffer(" ".join(text.split()).encode("ascii"), np.uint8)
        counts = np.full((VOCAB, VOCAB, VOCAB), 1e-3, np.float32)
        np.add.at(counts, (letters[:-2], letters[1:-1], letters[2:]), 1.0)
        self.logits = np.log(counts)

    def __call__(self, tokens: NDArray[np.int64]) -> NDArray[np.float32]:
        """Logits [V] of the token behind `tokens`."""
        row: NDArray[np.float32] = self.logits[tokens[-2], tokens[-1]]
        return row


def generate(model: Model, sampler: fastlogits.Sampler, prompt: str, length: int, seed: int) -> str:
    """`length` tokens behind the prompt.

    The context goes into every call. The penalties count it, and its length is the position of the draw: the same seed
    gives a new random number for each token, and nothing but the context has to be kept between calls. (A loop that
    passes no context passes ``position=n`` instead, or it would draw with the same number each time.)
    """
    tokens = np.zeros(len(prompt) + length, np.int64)  # allocated once; a call takes the part that is written
    tokens[: len(prompt)] = list(prompt.encode("ascii"))
    for n in range(len(prompt), len(tokens)):
        context = tokens[:n]
        tokens[n] = sampler.sample(model(context), context=context, prompt_length=len(prompt), rng=seed)
    return "".join(map(chr, tokens.tolist()))


def main(seed: int = 7) -> None:
    """Print a text, the same one again, and another."""
    model = Model(SAMPLE_TEXT)
    sampler = fastlogits.Sampler(presence_penalty=0.2, temperature=0.8, top_k=20, top_p=0.95)
    print(sampler)
    for each in seed, seed, seed + 1:
        print(f"seed {each}: {generate(model, sampler, 'the ', 80, each)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
