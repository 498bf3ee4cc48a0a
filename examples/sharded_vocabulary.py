"""Vocabulary-parallel scoring: four processes hold a quarter of each row's logits, and score the text together.

Two rounds: an all-reduce by maximum of three numbers per row, then a gather of the summaries. Here pipes carry the
bytes; with MPI they are ``comm.Allreduce(..., op=MPI.MAX)`` and ``comm.gather``. The result has the bits of one process
that holds whole rows. Run it with ``python examples/sharded_vocabulary.py``.
"""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any

import numpy as np

import fastlogits

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from numpy.typing import NDArray

ROWS, VOCAB, SHARDS = 6, 10_000, 4
EDGES = [0, 2560, 5120, 7680, VOCAB]  # multiples of 256, the last shard takes what is left


def logits() -> NDArray[np.float32]:
    """The whole matrix; a stand-in for what a model's last layer gives, a slice of it in each process."""
    return np.random.default_rng(7).normal(scale=3, size=(ROWS, VOCAB)).astype(np.float32)


def targets() -> NDArray[np.int64]:
    """The text."""
    return np.random.default_rng(8).integers(0, VOCAB, ROWS)


def work(shard: int, pipe: Connection) -> None:
    """One process: two messages out, one in."""
    begin, end = EDGES[shard : shard + 2]
    mine, place = logits()[:, begin:end], {"offset": begin, "vocab": VOCAB}
    pipe.send_bytes(fastlogits.shard_peaks(mine, targets(), offset=begin, vocab=VOCAB).tobytes())
    peaks = np.frombuffer(pipe.recv_bytes()).reshape(ROWS, 3)
    pipe.send(fastlogits.shard_summary(mine, targets(), peaks=peaks, top_n=3, rank=True, entropy=True, **place))


def scored() -> fastlogits.TokenLogprobs:
    """The figures of the whole rows, from four processes."""
    context = multiprocessing.get_context("spawn")
    ends = [context.Pipe() for _ in range(SHARDS)]
    workers = [context.Process(target=work, args=(i, there)) for i, (_, there) in enumerate(ends)]
    for worker in workers:
        worker.start()
    for _, there in ends:
        there.close()  # a worker that dies then ends the wait for it with an EOFError
    pipes = [here for here, _ in ends]
    peaks = np.maximum.reduce([np.frombuffer(pipe.recv_bytes()) for pipe in pipes])
    for pipe in pipes:
        pipe.send_bytes(peaks.tobytes())
    summaries = [pipe.recv() for pipe in pipes]
    for worker in workers:
        worker.join()
    found: Any = fastlogits.merge(reversed(summaries))  # any order
    assert isinstance(found, fastlogits.TokenLogprobs)
    return found


def main() -> None:
    """Print the figures and whether they are those of whole rows."""
    found = scored()
    whole = fastlogits.token_logprobs(logits(), targets(), top_n=3, rank=True, logsumexp=True)
    for row in range(ROWS):
        print(f"row {row}: log-prob {found.logprobs[row]:.6f}, rank {found.ranks[row]}, best {found.top_ids[row]}")
    names = ("logprobs", "ranks", "top_ids", "top_logprobs", "logsumexp")
    equal = all(getattr(found, name).tobytes() == getattr(whole, name).tobytes() for name in names)
    print("bits equal to those of whole rows:", equal)


if __name__ == "__main__":
    main()
