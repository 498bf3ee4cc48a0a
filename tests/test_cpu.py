"""Instruction sets: which are found, how one is forced, what is said when that cannot be."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

import pytest

import fastlogits._core as _core

KNOWN = ("avx512", "avx2", "neon", "scalar")
PRINT_ISA = "from fastlogits import _core; print(_core.isa(), *_core.isas())"
DRAW = (
    "import numpy, fastlogits; row = numpy.arange(1000, dtype=numpy.float32) % 37 / 4;"
    "print(fastlogits.softmax(row).tobytes().hex(), fastlogits.sample(row, temperature=0.8, top_p=0.9, rng=1))"
)


def run(code: str, isa: str | None = None, prefix: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """A fresh interpreter, with FASTLOGITS_ISA set or not at all."""
    environment = {name: value for name, value in os.environ.items() if name != "FASTLOGITS_ISA"}
    if isa is not None:
        environment["FASTLOGITS_ISA"] = isa
    command = [*prefix, sys.executable, "-c", code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_names_in_use() -> None:
    assert set(_core.isas()) <= set(KNOWN)
    assert _core.isas() == tuple(name for name in KNOWN if name in _core.isas()), "best first"
    assert _core.isas()[-1] == "scalar", "plain C runs everywhere"
    assert _core.isa() in _core.isas()


@pytest.mark.parametrize("isa", _core.isas())
def test_forced(isa: str) -> None:
    done = run(PRINT_ISA, isa)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [isa, *_core.isas()]


@pytest.mark.parametrize("isa", [None, ""])
def test_unset_and_empty_take_the_best(isa: str | None) -> None:
    done = run(PRINT_ISA, isa)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == _core.isas()[0]


@pytest.mark.parametrize("isa", ["avx1024", "AVX2", "0", *(name for name in KNOWN if name not in _core.isas())])
def test_impossible_names_are_import_errors_with_the_choices(isa: str) -> None:
    done = run("import fastlogits", isa)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: FASTLOGITS_ISA")
    assert isa in last
    for choice in _core.isas():
        assert choice in last
    assert ("not supported" in last) == (isa in KNOWN)


def test_set_isa_refuses_what_is_not_there() -> None:
    before = _core.isa()
    with pytest.raises(ValueError, match="choices: .*scalar"):
        _core.set_isa("mmx")
    assert _core.isa() == before


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [("Haswell", "avx2"), ("SandyBridge", "scalar"), pytest.param("Nehalem", "scalar", marks=pytest.mark.slow)],
)
def test_detection_on_older_machines(cpu: str, expected: str) -> None:
    """SandyBridge has AVX without AVX2 and FMA. Bits stay those of this machine."""
    emulator = shutil.which("qemu-x86_64-static") or shutil.which("qemu-x86_64")
    if platform.machine() != "x86_64":
        pytest.skip("x86-64 processors are emulated on x86-64 only, where the emulator can run this Python")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed (Debian package qemu-user-static)")
    here, there = run(DRAW), run(f"{PRINT_ISA}; {DRAW}", prefix=(emulator, "-cpu", cpu))
    assert there.returncode == 0, there.stderr
    found, drawn = there.stdout.splitlines()
    assert found.split()[0] == expected
    assert re.fullmatch(r"[0-9a-f]{8000} \d+", drawn)
    assert here.stdout.splitlines() == [drawn]
