"""What is compiled into the extension, where instruction sets may appear, and what the source distribution holds."""

from __future__ import annotations

import importlib
import importlib.util
import platform
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType

import pytest

import fastlogits._core as _core

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
ISA_SOURCES = {"avx2.c", "avx512.c"}
# A register of AVX, or else the name of an instruction: with a VEX or EVEX prefix they are printed with a leading v.
VECTOR = re.compile(r"%[yz]mm\d+|%xmm(?:1[6-9]|2\d|3[01])\b|\t(?!verr|verw)v[a-z0-9]+\b")
# Masking words of the control register are set in environment.c; they belong to the baseline.
INTRINSIC = re.compile(
    r"\b_mm(?!_[gs]etcsr\b)\d*_\w+|\b__m(?:64|128|256|512)\w*|\b__mmask\d+"
    r"|\b(?:float|u?int|poly)(?:8|16|32|64)x\d+(?:x\d+)?_t\b|\bv[a-z][a-z0-9]*_[fsup](?:8|16|32|64)(?:_\w+)?\b"
)
ALLOCATION = re.compile(r"\b(?:malloc|calloc|realloc|free|aligned_alloc|posix_memalign|alloca|strdup|fl_buffer)\s*\(")
MATH = (
    "acos asin atan atan2 cbrt ceil cos cosh erf exp exp2 exp10 expm1 fabs fdim floor fma fmax fmin fmod frexp hypot"
    " ldexp lgamma llrint llround log log10 log1p log2 logb lrint lround modf nearbyint nextafter pow remainder rint"
    " round scalbn sin sinh sqrt tan tanh tgamma trunc"
).split()
LIBM = {name + suffix for name in MATH for suffix in ("", "f", "l")}


def load_setup() -> ModuleType:
    """setup.py as a module: its flags and its list of sources."""
    spec = importlib.util.spec_from_file_location("fastlogits_setup", ROOT / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (binutils)")
    return path


def output(*command: str | Path) -> str:
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, timeout=300).stdout


def without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def functions_by_source() -> dict[int, str]:
    """Address of every function of the extension -> the C file that it was compiled from.

    In a symbol table the local symbols of an object follow an entry with the name of its source; what several objects
    share comes last, below an entry without a name.
    """
    table = output(tool("readelf"), "-sW", _core.__file__).partition(".symtab'")[2]
    found, source = {}, ""
    for line in table.splitlines():
        fields = line.split()
        if len(fields) < 7 or not fields[0].endswith(":"):
            continue
        if fields[3] == "FILE":
            source = fields[7] if len(fields) > 7 else ""
        elif fields[3] == "FUNC" and fields[6] != "UND":
            found[int(fields[1], 16)] = source
    if not found:
        pytest.skip("the extension was stripped of its symbols: build it from source to look inside")
    return found


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="AVX exists on x86-64 only")
def test_avx_stays_in_its_objects() -> None:
    """Baseline code that holds one AVX instruction dies on machines without it, dispatcher or not.

    This includes an inline function that leaves an ISA object as the one copy that the linker keeps for everybody.
    """
    sources = functions_by_source()
    assert ISA_SOURCES | {"scalar.c", "plan.c", "_core.c"} <= set(sources.values())
    found: dict[str, set[str]] = {}
    source, listed = "", 0
    for line in output(tool("objdump"), "-d", "--no-show-raw-insn", _core.__file__).splitlines():
        if header := re.match(r"([0-9a-f]+) <(.*)>:", line):
            source = sources.get(int(header[1], 16), f"no source file ({header[2]})")
            listed += int(header[1], 16) in sources
        elif match := VECTOR.search(line):
            found.setdefault(source, set()).add(match[0])
    assert listed > 300, "the listing and the symbol table name the same functions"
    assert set(found) == ISA_SOURCES
    assert "%zmm0" in found["avx512.c"]
    assert "%ymm0" in found["avx2.c"]
    assert not [register for register in found["avx2.c"] if register.startswith("%zmm")]


def test_extension_needs_no_libm_and_no_threads() -> None:
    """Both would raise the oldest glibc that runs a release from 2.17 to 2.27 or 2.34."""
    if not sys.platform.startswith("linux"):
        pytest.skip("glibc versions exist on Linux only")
    symbols = [line.split()[-1] for line in output(tool("nm"), "-D", "--undefined-only", _core.__file__).splitlines()]
    names = {symbol.partition("@")[0] for symbol in symbols}
    assert "PyErr_SetString" in names, "the listing is that of the extension"
    assert not names & LIBM
    assert not {name for name in names if name.startswith(("pthread_create", "GOMP_", "omp_"))}
    newer = [s for s in symbols if (v := re.search(r"@GLIBC_2\.(\d+)", s)) and int(v[1]) > 17]
    assert not newer
    needed = re.findall(r"NEEDED\s+(\S+)", output(tool("objdump"), "-p", _core.__file__))
    assert not [library for library in needed if library.startswith(("libm.", "libgomp", "libstdc++"))]


def test_extension_exports_its_init_function_alone() -> None:
    lines = output(tool("nm"), "-D", "--defined-only", _core.__file__).splitlines()
    assert [line.split()[-1].partition("@")[0] for line in lines] == ["PyInit__core"]


def test_intrinsics_stay_in_the_vector_headers() -> None:
    """Kernels are written over the vocabulary of csrc/vec, once for all instruction sets."""
    seen = []
    for path in sorted(CSRC.rglob("*.[ch]")):
        found = INTRINSIC.findall(without_comments(path.read_text()))
        if path.parent.name == "vec":
            seen += found
        else:
            assert not found, f"{path.relative_to(ROOT)}: {sorted(set(found))}"
    assert any(name.startswith("_mm512_") for name in seen)
    assert any(name.startswith("float32x4") for name in seen)


def test_kernels_allocate_nothing() -> None:
    paths = sorted(CSRC.glob("kernels/*")) + sorted(CSRC.glob("vec/*")) + sorted(CSRC.glob("isa/*"))
    assert len(paths) > 10
    for path in paths:
        text = without_comments(path.read_text())
        assert not ALLOCATION.search(text), path
        assert not re.search(r"^\s*static\s+(?!const\b|inline\b)[^()=;]*(?:=|;)", text, re.MULTILINE), (
            f"{path}: a kernel keeps state"
        )


def test_one_flag_list_without_fast_math() -> None:
    setup = load_setup()
    flags, _ = setup.unix_flags()
    assert "-ffp-contract=off" in flags
    assert not [flag for flag in flags if flag.startswith("-m") or flag in setup.INEXACT]


@pytest.mark.parametrize(
    ("cflags", "level"),
    [(None, "-O3"), ("", "-O3"), ("-g", "-O3"), ("-O1", "-O1"), ("-O0 -g -O2 -march=native", "-O2"), ("-Os", "-Os")],
)
def test_the_level_of_cflags_is_the_one_used(monkeypatch: pytest.MonkeyPatch, cflags: str | None, level: str) -> None:
    for name in ("CFLAGS", "FASTLOGITS_DEBUG", "FASTLOGITS_SANITIZE", "FASTLOGITS_WERROR"):
        monkeypatch.delenv(name, raising=False)
    if cflags is not None:
        monkeypatch.setenv("CFLAGS", cflags)
    setup = load_setup()
    levels = [flag for flag in setup.unix_flags()[0] if flag.startswith("-O")]
    assert levels == [level]
    own = cflags is not None and "-O" in cflags
    assert setup.flags_of_source("build/cython/fastlogits/_core.c") == ([] if own else ["-O1"])
    assert setup.flags_of_source("csrc/plan/plan.c") == []


def test_the_longest_objects_are_compiled_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the order in which the compiler is called, one process at a time; setuptools sorts the sources by name."""
    from setuptools import Distribution

    monkeypatch.setenv("FASTLOGITS_JOBS", "1")
    monkeypatch.chdir(ROOT)
    setup = load_setup()
    extension = setup.extension()
    extension.sources = [s.replace("fastlogits/_binding/_core.pyx", "csrc/_core.c") for s in extension.sources]
    command = setup.BuildExt(Distribution({"name": "fastlogits", "ext_modules": [extension]}))
    command.build_temp = command.build_lib = str(tmp_path)
    command.ensure_finalized()
    command.force = True
    command.compiler = importlib.import_module("setuptools._distutils.ccompiler").new_compiler()
    compiled: list[str] = []
    monkeypatch.setattr(command.compiler, "_compile", lambda obj, source, *rest: compiled.append(Path(source).name))
    command._compile_in_parallel()
    command.compiler.compile(sorted(extension.sources), output_dir=str(tmp_path))
    assert len(compiled) == len(extension.sources)
    assert compiled[:5] == ["scalar.c", "avx2.c", "avx512.c", "neon.c", "_core.c"]


@pytest.mark.parametrize("flag", ["-ffast-math", "-Ofast", "-fassociative-math", "-mfpmath=387", "-fno-honor-nans"])
@pytest.mark.parametrize("variable", ["CFLAGS", "LDFLAGS", "CC"])
def test_inexact_flags_are_refused(variable: str, flag: str) -> None:
    setup = load_setup()
    with pytest.raises(SystemExit, match=f"fastlogits: {variable} must not hold {flag}"):
        setup.refuse_inexact_flags({variable: f"gcc -g {flag} -O2"})
    setup.refuse_inexact_flags({variable: "gcc -g -O2 -march=native -fno-fast-math"})


def test_the_number_of_compilers_is_checked() -> None:
    setup = load_setup()
    assert setup.jobs({"FASTLOGITS_JOBS": "3"}) == 3
    assert setup.jobs({"FASTLOGITS_JOBS": ""}) == setup.jobs({}) >= 1
    for wrong in ("0", "-1", "abc", "1.5"):
        with pytest.raises(SystemExit, match=f"FASTLOGITS_JOBS must be a whole number of at least 1, got '{wrong}'"):
            setup.jobs({"FASTLOGITS_JOBS": wrong})


@pytest.mark.skipif(sys.platform == "win32" or not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize("wanted", ["nosuch", "l.nt", "lint lint", ".*", ""])
def test_ci_refuses_a_stage_that_is_none(wanted: str) -> None:
    done = subprocess.run(["bash", str(ROOT / ".ci" / "run"), wanted], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (2, f".ci/run: no stage '{wanted}' (--list)\n")


def c_compiler() -> str:
    """The command of the compiler that Python was built with, or cc; skips where there is none."""
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return found
    pytest.skip("no C compiler is installed")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), ""), (("-O3", "-march=native"), ""), (("-ffast-math",), "must not be compiled with -ffast-math"),
        (("-Ofast",), "must not be compiled with -ffast-math"), (("-ffinite-math-only",), "must not be compiled with"),
        (("-D__FLT_EVAL_METHOD__=2",), "without excess precision"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)  # fmt: skip
def test_sources_refuse_inexact_arithmetic(flags: tuple[str, ...], message: str, tmp_path: Path) -> None:
    """Also where setup.py is not the one who calls the compiler."""
    if "-march=native" in flags and platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip("-march=native is known by every compiler on x86-64 only")
    done = subprocess.run(
        [c_compiler(), "-std=c11", *flags, "-fsyntax-only", f"-I{CSRC}", str(CSRC / "steps" / "cuts.c")],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode == 0) == (not message), done.stderr
    assert message in done.stderr


def test_a_missing_compiler_or_header_is_one_line(tmp_path: Path) -> None:
    setup = load_setup()
    with pytest.raises(SystemExit, match=r"^fastlogits needs a C compiler; no-such-cc does not run .*: install gcc"):
        setup.check_compiler(["no-such-cc"], [])
    compiler = c_compiler()
    fails_on = {
        "the C compiler does not work; check CC and CFLAGS, or install gcc": "int main",
        "the C library's headers are missing; install them (apt install libc6-dev": "stdio.h",
        "Python.h is missing; install Python's headers (apt install python": "Python.h",
    }
    for message, text in fails_on.items():
        wrapper = tmp_path / "cc"
        wrapper.write_text(
            f"#!/bin/sh\nfor each; do case $each in *.c) grep -q '{text}' $each && exit 1;; esac; done\n"
        )
        wrapper.chmod(0o755)
        with pytest.raises(SystemExit) as caught:
            setup.check_compiler([str(wrapper)], [])
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)
    setup.PROBES = setup.PROBES[:2]
    setup.check_compiler([compiler], [])


@pytest.mark.parametrize("level", ["-O0", "-O3"])
def test_portable_fma_is_rounded_once(level: str, tmp_path: Path) -> None:
    """fma from products and sums in double: against the C library's, on sums that lie halfway between floats too."""
    source, program = ROOT / "tests" / "portable_fma.c", tmp_path / "portable_fma"
    flags = ["-std=gnu11", "-ffp-contract=off", level, f"-I{CSRC}"]
    subprocess.run([c_compiler(), *flags, str(source), "-o", str(program), "-lm"], check=True, timeout=120)
    done = subprocess.run([str(program)], capture_output=True, text=True, timeout=120)
    print(done.stdout)
    assert done.returncode == 0, done.stdout


def test_sdist_holds_what_a_build_and_a_test_run_need(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    made = (".git", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache", ".hypothesis", ".venv")
    shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*made))
    (tree / "fastlogits" / "_core.c").write_text("left by another build\n")
    code = f"import setuptools.build_meta as b; print(b.build_sdist({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tree, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.split()[-1]) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("csrc/**/*", "tests/*.py", "benchmarks/*.py", "fastlogits/**/*", "*.md", "LICENSE", ".ci/run")
        for path in ROOT.glob(pattern)
        if path.is_file() and path.suffix not in (".so", ".pyc", ".pyd") and path.name != "_core.c"
    } | {"setup.py", "pyproject.toml"}
    assert not wanted - held
    assert not [name for name in held if name.endswith(("_core.c", ".so", ".o", ".pyc"))]
