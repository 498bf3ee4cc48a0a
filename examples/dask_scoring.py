"""Logits in a file, scored by two worker processes chunk by chunk: the bits of one call on one machine.

The file stands for whatever holds more logits than memory does (files of many machines, zarr, HDF5): dask.array opens
it, the workers read it part by part, and only figures travel. Run it with ``python examples/dask_scoring.py [rows]``;
it needs ``pip install "dask[array]" distributed``.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster
from numpy.typing import NDArray

import fastlogits as fl
import fastlogits.dask as fd

VOCAB, PART = 5000, 256  # PART rows at a time are in the memory of a worker


def write_file(path: Path, rows: int) -> NDArray[np.int64]:
    """Logits of a model that is fairly sure of itself, written part by part; returns the tokens that came."""
    rng = np.random.default_rng(7)
    targets = rng.integers(0, VOCAB, rows)
    file = np.lib.format.open_memmap(path, "w+", np.float32, (rows, VOCAB))
    for begin in range(0, rows, PART):
        ids = targets[begin : begin + PART]
        file[begin : begin + PART] = rng.normal(size=(len(ids), VOCAB))
        file[np.arange(begin, begin + len(ids)), ids] += rng.normal(7, 3, len(ids))
    file.flush()
    return targets


def read_part(path: str, block_info: Any = None) -> NDArray[np.float32]:
    """The rows of one chunk; this runs on a worker."""
    (begin, end), _ = block_info[None]["array-location"]
    part: NDArray[np.float32] = np.load(path, mmap_mode="r")[begin:end]
    return part


def main(rows: int = 4000) -> None:
    """Score the file on the cluster and here, and print both."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "logits.npy")
        targets = write_file(Path(path), rows)
        parts = tuple(min(PART, rows - begin) for begin in range(0, rows, PART))
        logits = da.map_blocks(
            read_part, path, chunks=(parts, (VOCAB,)), dtype=np.float32, meta=np.empty((0, 0), np.float32)
        )

        found = fd.token_logprobs(logits, targets, argmax=True, entropy=True)  # nothing is read yet
        score = fd.score_text(found.logprobs, greedy=found.greedy)
        error = fd.calibration_error(logits, targets, from_logits=True)
        with (
            LocalCluster(
                n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
            ) as cluster,
            Client(cluster) as client,
        ):
            text, ece = client.gather(client.compute([score, error]))
        print(f"two processes: perplexity {text.perplexity}, accuracy {text.accuracy}, calibration error {ece}")

        whole = np.load(path, mmap_mode="r")
        plain = fl.token_logprobs(whole, targets, argmax=True)
        here = fl.score_text(plain.logprobs, greedy=plain.greedy)
        ece = fl.calibration_error(whole, targets, from_logits=True)
        print(f"one call:      perplexity {here.perplexity}, accuracy {here.accuracy}, calibration error {ece}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
