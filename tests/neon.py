"""Build for aarch64 and run tests on NEON, under qemu, on an x86-64 machine.

    python tests/neon.py                               # the kernel and digest tests, then the digest
    python tests/neon.py tests/test_arrays.py -x       # other files; everything is handed to pytest
    python tests/neon.py --python -c "import fastlogits"   # any other arguments for the aarch64 Python

A cache folder receives an aarch64 CPython from Debian's packages (unpacked, not installed), the aarch64 wheels the
tests need, and a small environment for the cross build. It is $FASTLOGITS_NEON_CACHE, else
$XDG_CACHE_HOME/fastlogits-neon, else a folder below the system's temporary one; a filled cache is used again.

Needs Debian 12 or another release whose archive holds Python 3.11, and the packages gcc-aarch64-linux-gnu,
libc6-dev-arm64-cross and qemu-user-static.
"""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = "3.11"
TOOLS = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "qemu-aarch64-static": "qemu-user-static",
    "apt-get": "apt",
    "dpkg": "dpkg",
}
DEBS = (f"python{PYTHON}", f"libpython{PYTHON}-dev", "libgcc-s1", "libstdc++6")
WHEELS = ("numpy", "pytest", "pytest-benchmark", "hypothesis", "scipy", "mpmath", "ml_dtypes", "rich")
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")
BUILD = ("build", "setuptools>=77.0.1", "cython>=3.1", "numpy>=2.2")
DEFAULT_TESTS = ("tests/test_kernels.py", "tests/test_digest.py", "tests/test_rows_alone.py")
# One process, so that the digests of the tests need not be made again to be printed.
TEST_AND_PRINT = """
import sys, pytest
failed = pytest.main(sys.argv[1:])
if failed:
    sys.exit(failed)
test_digest = sys.modules["tests.test_digest"]
for (isa, dtype), found in sorted(test_digest.known.items()):
    print(f"digest {dtype:8} {isa:6} {found}\\ndigest {dtype:8} x86-64 {test_digest.DIGESTS[dtype]}", flush=True)
"""
LEFT_OUT = shutil.ignore_patterns(
    ".git", "build", "dist", "*.egg-info", "*.so", "__pycache__", ".*_cache", ".hypothesis", ".venv", ".benchmarks"
)


def cache_folder() -> Path:
    """Where downloads and builds are kept between runs."""
    if named := os.environ.get("FASTLOGITS_NEON_CACHE"):
        return Path(named).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()).resolve() / "fastlogits-neon"


def call(
    *command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None, quiet: bool = False
) -> None:
    """Run a command; a failure ends the script with the command's own output above it."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=env, stdout=subprocess.DEVNULL if quiet else None)
    if done.returncode:
        sys.exit(f"neon: {' '.join(map(str, command[:6]))} ... failed ({done.returncode})")


def once(folder: Path, fill: Callable[[Path], None], wanted: Sequence[str]) -> Path:
    """``folder``, made by ``fill(folder)`` unless an earlier run has done so for the same ``wanted``."""
    done = folder.with_name(folder.name + ".done")
    if not done.exists() or done.read_text() != "\n".join(wanted):
        print(f"neon: filling {folder}", flush=True)
        done.unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        fill(folder)
        done.write_text("\n".join(wanted))
    return folder


def fill_root(root: Path) -> None:
    """Unpack an aarch64 CPython, its headers and every library it needs, through apt folders of its own."""
    apt = root.with_name("apt")
    for part in ("lists/partial", "cache/archives/partial"):
        (apt / part).mkdir(parents=True, exist_ok=True)
    (apt / "status").touch()  # nothing is installed there, so apt resolves every dependency
    settings = {
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
        "Dir::State": apt,
        "Dir::State::lists": apt / "lists",
        "Dir::State::status": apt / "status",
        "Dir::Cache": apt / "cache",
    }
    options = [part for key, value in settings.items() for part in ("-o", f"{key}={value}")]
    call("apt-get", *options, "update", "-qq")
    call("apt-get", *options, "install", "-qq", "-y", "--no-install-recommends", "--download-only", *DEBS,
         quiet=True)  # fmt: skip
    for deb in sorted((apt / "cache/archives").glob("*.deb")):
        call("dpkg", "-x", deb, root)


def fill_site(site: Path) -> None:
    """Install the aarch64 wheels that the tests need."""
    call(sys.executable, "-m", "pip", "install", "--quiet", "--target", site, "--python-version", PYTHON,
         "--only-binary=:all:", *(f"--platform={p}" for p in PLATFORMS), *WHEELS)  # fmt: skip


def fill_builder(folder: Path) -> None:
    """Make the environment that runs the build: its Python and its NumPy headers are this machine's own."""
    venv.create(folder, with_pip=True)
    call(folder / "bin/python", "-m", "pip", "install", "--quiet", *BUILD)


def build_wheel(cache: Path, root: Path, builder: Path) -> Path:
    """Cross-build the wheel from a copy of the sources, so that nothing of this machine's build is mixed in."""
    source, wheels = cache / "source", cache / "wheels"
    for folder in (source, wheels):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    environment = os.environ | {
        "_PYTHON_HOST_PLATFORM": "linux-aarch64",
        "SETUPTOOLS_EXT_SUFFIX": f".cpython-{PYTHON.replace('.', '')}-aarch64-linux-gnu.so",
        "CC": "aarch64-linux-gnu-gcc",
        "LDSHARED": "aarch64-linux-gnu-gcc -shared",
        "CPPFLAGS": f"-I{root}/usr/include/python{PYTHON} -I{root}/usr/include",
        "FASTLOGITS_WERROR": "1",
    }
    call(builder / "bin/python", "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, source,
         env=environment, quiet=True)  # fmt: skip
    (wheel,) = wheels.glob("*aarch64.whl")
    return wheel


def aarch64(root: Path, *sites: Path) -> list[str | Path]:
    """Return the command that starts the aarch64 Python with ``sites`` on its path."""
    libraries = ":".join(str(root / part / "aarch64-linux-gnu") for part in ("lib", "usr/lib"))
    variables = {
        "LD_LIBRARY_PATH": libraries,
        "PYTHONHOME": str(root / "usr"),
        "PYTHONPATH": ":".join(map(str, sites)),
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    settings = [part for key, value in variables.items() for part in ("-E", f"{key}={value}")]
    return ["qemu-aarch64-static", "-L", root, *settings, root / f"usr/bin/python{PYTHON}"]


def main(arguments: Sequence[str]) -> None:
    """Set up what is missing, build, run."""
    parser = argparse.ArgumentParser(description="Run tests on NEON under qemu.", epilog=__doc__, add_help=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("-h", "--help", action="help", help="print this and leave")
    parser.add_argument("--python", action="store_true", help="hand the other arguments to Python, not to pytest")
    options, rest = parser.parse_known_args(arguments)
    missing = sorted(package for tool, package in TOOLS.items() if shutil.which(tool) is None)
    if missing:
        sys.exit(f"neon: missing Debian packages: {' '.join(missing)} (apt-get install them)")
    if sys.version_info[:2] != tuple(map(int, PYTHON.split("."))):
        sys.exit(f"neon: the wheel is built for Python {PYTHON}, so run this with it, not {sys.version.split()[0]}")

    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    lock = (cache / "lock").open("w")  # held until the script ends
    fcntl.flock(lock, fcntl.LOCK_EX)
    root = once(cache / "root", fill_root, DEBS)
    site = once(cache / "site", fill_site, (PYTHON, *WHEELS))
    builder = once(cache / "builder", fill_builder, (sys.version, *BUILD))
    print("neon: cross-building", flush=True)
    installed = cache / "fastlogits"
    shutil.rmtree(installed, ignore_errors=True)
    with zipfile.ZipFile(build_wheel(cache, root, builder)) as wheel:
        wheel.extractall(installed)

    # The tests run beside the installed wheel, where the source package cannot be imported by accident.
    place = cache / "run"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in ("tests", "csrc", "fastlogits/data"):
        shutil.copytree(ROOT / name, place / name, ignore=LEFT_OUT)
    shutil.copy(ROOT / "pyproject.toml", place)
    python = aarch64(root, installed, site)
    if options.python:
        call(*python, *rest, cwd=place)
        return
    call(*python, "-m", "fastlogits", "info", cwd=place)
    plain = ("-q", "-p", "no:cacheprovider")
    if rest:
        call(*python, "-m", "pytest", *plain, *rest, cwd=place)
    else:
        call(*python, "-c", TEST_AND_PRINT, *plain, *DEFAULT_TESTS, cwd=place)


if __name__ == "__main__":
    main(sys.argv[1:])
