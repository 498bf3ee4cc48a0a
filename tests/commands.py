"""Runs of the command line, in this process and in one of their own."""

import json
import os
import subprocess
import sys

import numpy as np

import fastlogits as fl
from fastlogits.__main__ import main

ROWS, V = 37, 60
BAD, IGNORED = 11, (4, 36)
LONG = {
    "score": ["score", "nan.npy", "--targets", "targets.npy", "--top-n", "2"],
    "calibrate": ["calibrate", "nan.npy", "--targets", "targets.npy"],
    "compare": ["compare", "q.npy", "nan.npy"],
}


def write_files():
    """p.npy, q.npy (float16), targets.npy, both.npz, and nan.npy, which is p with a bad row; p, q and the targets."""
    rng = np.random.default_rng(5)
    p = rng.normal(0, 3, (ROWS, V)).astype(np.float32)
    q = (p + rng.normal(0, 0.3, p.shape)).astype(np.float16)
    targets = np.array([rng.choice(V, p=fl.softmax(row.astype(float))) for row in p])
    targets[list(IGNORED)] = -100
    spoiled = p.copy()
    spoiled[BAD, 7] = np.nan
    for name, array in {"p": p, "q": q, "targets": targets, "nan": spoiled}.items():
        np.save(f"{name}.npy", array)
    np.savez_compressed("both.npz", a=p, gold=targets, targets=targets)
    return p, q, targets


def run(capsys, *argv):
    """Exit code 0 and the text on standard output."""
    code = main([str(each) for each in argv])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    return out


def run_json(capsys, *argv):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(run(capsys, *argv, "--json"), parse_constant=refuse)


def process(*argv, code="pass", env=None, **keywords):
    """A run in a process of its own; `code` runs before."""
    start = f"import sys; {code}; from fastlogits.__main__ import main; sys.exit(main(sys.argv[1:]))"
    settings = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR", "FORCE_COLOR")}
    keywords = {"capture_output": True, "timeout": 60, "check": False} | keywords
    return subprocess.run([sys.executable, "-c", start, *argv], env=settings | (env or {}), **keywords)
