"""The caller's floating-point environment: flush-to-zero and any rounding mode give the same bits, and are left alone.

A helper of ten lines of C sets the environment; without a C compiler these tests are skipped.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits

SOURCE = r"""
#include <fenv.h>
#include <stdint.h>
static const int modes[4] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
#if defined(__x86_64__) || defined(__i386__)
#include <xmmintrin.h>
static uint64_t control(void) { return _mm_getcsr() & 0xffc0u; }
static void flush(int on) { _mm_setcsr((_mm_getcsr() & ~0x8040u) | (on ? 0x8040u : 0)); }
#elif defined(__aarch64__)
static uint64_t control(void) { uint64_t v; __asm__ volatile("mrs %0, fpcr" : "=r"(v)); return v; }
static void flush(int on) {
    uint64_t v = (control() & ~(1ull << 24)) | ((uint64_t)(on != 0) << 24);
    __asm__ volatile("msr fpcr, %0" : : "r"(v));
}
#else
static uint64_t control(void) { return (uint64_t)fegetround(); }
static void flush(int on) { (void)on; }
#endif
uint64_t environment(void) { return control(); }
void set_environment(int mode, int flushing) { fesetround(modes[mode]); flush(flushing); }
"""


@pytest.fixture(scope="module")
def helper(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    wanted = (sysconfig.get_config_var("CC") or "cc").split()[0]
    compiler = next((found for name in (wanted, "cc", "gcc", "clang") if (found := shutil.which(name))), None)
    if compiler is None:
        pytest.skip("no C compiler to build the helper that sets the environment")
    folder: Path = tmp_path_factory.mktemp("environment")
    source, library = folder / "environment.c", folder / "environment.so"
    source.write_text(SOURCE)
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", str(source), "-o", str(library), "-lm"], check=True)
    loaded = ctypes.CDLL(str(library))
    loaded.environment.restype = ctypes.c_uint64
    return loaded


@pytest.fixture(params=[(0, 1), (1, 0), (2, 0), (3, 0), (2, 1)], ids=["flush", "down", "up", "zero", "up, flush"])
def setting(request: pytest.FixtureRequest, helper: ctypes.CDLL) -> Iterator[Any]:
    """A function that runs a call under this environment and returns its result and whether it was left as it was."""

    def under(call: Any) -> tuple[Any, bool]:
        helper.set_environment(*request.param)
        try:
            before = helper.environment()
            result = call()
            same = helper.environment() == before
        finally:
            helper.set_environment(0, 0)
        return result, same

    yield under
    helper.set_environment(0, 0)


def outcomes(x: np.ndarray[Any, Any], threads: int = 1) -> dict[str, Any]:
    usual = fastlogits.Sampler(temperature=0.7, top_k=30, top_p=0.95, min_p=0.01, repetition_penalty=1.1)
    mass = fastlogits.Sampler(temperature=1.3, top_p=0.9, logit_bias={3: 1.5})
    inputs: dict[str, Any] = {"context": [[1, 2, 3]] * len(x), "threads": threads}
    found: dict[str, Any] = {
        "softmax": fastlogits.softmax(x, temperature=0.7), "log_softmax": fastlogits.log_softmax(x),
        "logsumexp": fastlogits.logsumexp(x), "argmax": fastlogits.argmax(x), "top_k": tuple(fastlogits.top_k(x, 5)),
    }  # fmt: skip
    for name, sampler in (("usual", usual), ("mass", mass)):
        found[f"candidates {name}"] = rows.listed(sampler.candidates(x, **inputs))
        found[f"probs {name}"] = sampler.probs(x, **inputs)
        found[f"filter_logits {name}"] = sampler.filter_logits(x, **inputs)
        found[f"sample {name}"] = tuple(sampler.sample(x, rng=5, logprobs=3, **inputs))
    return found


def different(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    return [name for name in a if not rows.same_bits(a[name], b[name])]


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64], ids=lambda d: np.dtype(d).name)
def test_same_bits(isa: str, setting: Any, dtype: Any) -> None:
    made = [row for name, row in rows.exact_rows(1500, 6) if name not in ("huge", "lowest")]
    deep = made[0] - np.arange(1500) * 0.125  # exponentials down to the subnormal and beyond
    tiny = np.arange(1500) * float(np.finfo(np.float16).smallest_subnormal)  # subnormal inputs in half
    small = np.arange(1500) * 2.0**-149  # and in float32
    x = np.stack([*made, deep, tiny, small]).astype(dtype)
    right = outcomes(x)
    got, left_alone = setting(lambda: outcomes(x))
    assert left_alone
    assert different(got, right) == []


def test_threads_too(setting: Any) -> None:
    """Threads inherit the environment of the thread that starts them."""
    x = np.stack([row for name, row in rows.exact_rows(900, 7) if name != "huge"] * 4).astype(np.float32)
    right = outcomes(x)
    got, left_alone = setting(lambda: outcomes(x, threads=3))
    assert left_alone
    assert different(got, right) == []
