"""Instructions of typical calls, counted by valgrind: a number that noise of the machine does not move.

    python tests/instructions.py            # the counts of this build next to the tracked ones
    python tests/instructions.py --write    # track these counts instead

Counts are those of the extension module alone, per call, once everything is warm, on AVX2. They belong to one compiler;
tests/instructions.json names it. tests/test_instructions.py fails where a count grew by more than 2 %.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ISA = "avx2"
MARKER = "fl_read_once"  # called between two counts, and by none of the calls counted
PLACE = Path(__file__).with_suffix(".json")


def calls() -> dict[str, tuple[int, Callable[[], Any]]]:
    """Each call by name, with how often it is repeated."""
    import numpy as np

    import fastlogits as fl

    rng = np.random.default_rng(0)
    short, row = ((3 * rng.normal(size=n)).astype(np.float32) for n in (32, 128_256))
    batch = (3 * rng.normal(size=(8, 1_000))).astype(np.float32)
    usual = fl.Sampler(temperature=0.8, top_k=8, top_p=0.9)
    steered = fl.Sampler(repetition_penalty=1.2, frequency_penalty=0.1, temperature=0.8, top_k=40)
    nucleus, ratio, typical = fl.Sampler(top_p=0.9), fl.Sampler(min_p=0.05), fl.Sampler(typical_p=0.9)
    state = steered.state(rng.integers(0, row.size, 500).tolist())
    drafts, draft_rows = np.array([3, 5]), (3 * rng.normal(size=(3, 32))).astype(np.float32)
    return {
        "sample, 32": (50, lambda: usual.sample(short, rng=7, position=1)),
        "sample, 128256": (3, lambda: usual.sample(row, rng=7, position=1)),
        "sample with a State, 128256": (3, lambda: steered.sample(row, state=state, rng=7)),
        "probs of top_p, 128256": (3, lambda: nucleus.probs(row)),
        "filter_logits of min_p, 128256": (3, lambda: ratio.filter_logits(row)),
        "candidates of typical_p, 128256": (3, lambda: typical.candidates(row)),
        "softmax, 8 x 1000": (20, lambda: fl.softmax(batch)),
        "top_k, 128256": (3, lambda: fl.top_k(row, 50)),
        "token_logprobs with rank and entropy, 8 x 1000": (
            20, lambda: fl.token_logprobs(batch, [1] * 8, rank=True, entropy=True),
        ),
        "verify of 2 drafts, 32": (20, lambda: usual.verify(draft_rows, drafts, rng=7, position=1)),
    }  # fmt: skip


def repeat() -> None:
    """What valgrind runs: the marker, a call some times, the marker, and so on."""
    import numpy as np

    import fastlogits._core as _core

    mark = np.zeros(1, np.float32)
    for times, call in calls().values():
        for _ in range(3):
            call()
        _core.read_once(mark)
        for _ in range(times):
            call()
        _core.read_once(mark)


def instructions_of(profile: Path) -> int:
    """Self cost of the extension module in one profile of callgrind."""
    objects: dict[str, str] = {}
    ours, skip, total = False, False, 0
    for line in profile.read_text().splitlines():
        if found := re.match(r"(c?ob)=(\(\d+\))(?: (.*))?$", line):
            kind, number, name = found.groups()
            if name:
                objects[number] = name
            if kind == "ob":
                ours = re.search(r"/fastlogits/_core\.[^/]*$", objects[number]) is not None
        elif line.startswith("calls="):
            skip = True
        elif re.match(r"[+\-*\d]", line):
            if not skip and ours:
                total += int(line.split()[1])
            skip = False
    return total


def count() -> dict[str, int]:
    """Instructions per call."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        environment = {**os.environ, "FASTLOGITS_ISA": ISA, "FASTLOGITS_THREADS": "1", "PYTHONHASHSEED": "0"}
        command = [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--dump-before={MARKER}",
            "--combine-dumps=no", sys.executable, str(Path(__file__)), "--repeat",
        ]  # fmt: skip
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        # Dump 2 i + 1 ends before call i is counted, dump 2 i + 2 behind it.
        found = {}
        for i, (name, (times, _)) in enumerate(calls().items()):
            found[name] = instructions_of(Path(f"{out}.{2 * i + 2}")) // times
        return found


def compiler() -> str:
    """What the counts belong to: compiler and Cython, as the extension module says itself; Python and its flags."""
    import fastlogits._core as _core

    text = Path(str(_core.__file__)).read_bytes()
    parts = (rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", rb"_cython_\d+_\d+_\w+")
    found = [re.search(part, text) for part in parts]
    names = [each.group().decode() for each in found if each]
    return ", ".join([*names, f"CPython {platform.python_version()}", str(sysconfig.get_config_var("CFLAGS"))])


def reason_to_skip() -> str | None:
    """Why counts cannot be compared here, or None."""
    import fastlogits._core as _core

    if ISA not in _core.isas():
        return f"counts are those of {ISA}, which this machine has not"
    if shutil.which("valgrind") is None:
        return "valgrind is not installed (Debian package valgrind)"
    tracked = json.loads(PLACE.read_text())["compiler"]
    return None if compiler() == tracked else f"counts belong to {tracked}, this build is of {compiler()}"


def main() -> int:
    if "--repeat" in sys.argv:
        repeat()
        return 0
    found = count()
    if "--write" in sys.argv:
        PLACE.write_text(json.dumps({"compiler": compiler(), "instructions": found}, indent=1) + "\n")
    tracked = json.loads(PLACE.read_text())["instructions"]
    for name, number in found.items():
        print(f"{name:48} {number:12,} {100 * (number / tracked[name] - 1):+7.2f} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
