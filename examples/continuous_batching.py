"""Continuous batching: requests with settings of their own join, leave and change places while a model runs.

Every request gets the tokens that it would get alone, whoever stands beside it. The model is a stand-in in NumPy (which
letter follows which); any model that answers with one row of logits per sequence takes its place. Run it with
``python examples/continuous_batching.py [seed]``.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import fastlogits as fl

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOCAB = 128  # one token per ASCII character
SAMPLE_TEXT = """rain came over the hill and ran along the road to the mill. the miller heard the rain on the roof and
went out to raise the gate, and the wheel began to turn. all the night the wheel turned and the stones ran, and in the
morning there was flour enough for the whole village."""


class Request(NamedTuple):
    """What a client asks for: how, behind which text, how many letters, and in which round of the model it comes."""

    sampler: fl.Sampler
    prompt: str
    length: int
    round: int


REQUESTS = (
    Request(fl.Sampler(temperature=0.8, top_k=20, top_p=0.95), "the r", 40, 0),
    Request(fl.Sampler(top_k=1), "rain ", 12, 0),
    Request(fl.Sampler(min_p=0.1, repetition_penalty=1.1), "over ", 30, 3),
    Request(fl.Sampler(mirostat=2, mirostat_tau=2.0), "the w", 25, 5),
    Request(fl.Sampler(temperature=0.7, dry_multiplier=0.8, typical_p=0.9), "all ", 20, 18),
)


def letters(text: str) -> NDArray[np.int64]:
    """Tokens of a text."""
    return np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64)


class Model:
    """Log of the smoothed counts of (letter, letter, next letter); behind the end the text begins again."""

    def __init__(self, text: str) -> None:
        plain = " ".join(text.split())
        tokens = letters(f"{plain} {plain[:2]}")
        counts = np.full((VOCAB, VOCAB, VOCAB), 1e-3, np.float32)
        np.add.at(counts, (tokens[:-2], tokens[1:-1], tokens[2:]), 1.0)
        self.logits = np.log(counts)

    def __call__(self, texts: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Logits [sequences, V]."""
        ends = np.array([tokens[-2:] for tokens in texts])
        rows: NDArray[np.float32] = self.logits[ends[:, 0], ends[:, 1]]
        return rows


def state_of(request: Request, key: int) -> fl.State:
    """The state of a request; its key is its random stream."""
    prompt = letters(request.prompt)
    return request.sampler.state(prompt, prompt_length=len(prompt), key=key)


def alone(model: Model, request: Request, key: int, seed: int) -> str:
    """The text of one request, served by itself."""
    state = state_of(request, key)
    for _ in range(request.length):
        state.accept(request.sampler.sample(model([state.tokens])[0], state=state, rng=seed))
    return "".join(map(chr, state.tokens))


def together(model: Model, requests: tuple[Request, ...], seed: int) -> dict[int, str]:
    """The texts of all requests by number, served as they come; the longest text stands first in the batch."""
    batch, serving = fl.Batch(), {}
    done: dict[int, str] = {}
    for now in range(10_000):
        for number, request in enumerate(requests):
            if request.round == now:
                serving[batch.add(state_of(request, number))] = number
        batch.reorder(sorted(batch.handles, key=lambda handle: -len(batch[handle])))
        if batch.handles:
            batch.accept(batch.sample(model([batch[handle].tokens for handle in batch.handles]), rng=seed))
        for handle in batch.handles:
            request = requests[serving[handle]]
            if len(batch[handle]) == len(request.prompt) + request.length:
                done[serving[handle]] = "".join(map(chr, batch.remove(handle).tokens))
        if len(done) == len(requests):
            break
    return done


def main(seed: int = 7) -> None:
    """Print the text of each request, and whether it is the one that it gets alone."""
    model = Model(SAMPLE_TEXT)
    for number, text in together(model, REQUESTS, seed).items():
        same = "as" if text == alone(model, REQUESTS[number], number, seed) else "not as"
        print(f"request {number}, {same} alone: {text}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
