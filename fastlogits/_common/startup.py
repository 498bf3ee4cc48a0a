"""What becomes of an extension module that is missing, or of a bad FASTLOGITS_ISA or FASTLOGITS_THREADS.

Python imports a package before its ``__main__``, so the command's own handling of errors comes too late for these:
where the command line imports the package, the process ends here.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig


def is_command() -> bool:
    """Whether this process is the script ``fastlogits`` or ``python -m fastlogits``, before or while it starts."""
    argv: list[str] = getattr(sys, "argv", [])
    if not argv:
        return False
    if argv[0] != "-m":
        return os.path.basename(argv[0]) == "fastlogits"
    # While Python looks for the module of -m, its name stands before the arguments: -m NAME or -mNAME.
    module = sys.orig_argv[-len(argv)].removeprefix("-m")
    return module in ("fastlogits", "fastlogits.__main__")


def explain(error: ImportError) -> None:
    """Of the command line, end with one line and exit code 2; else raise what says more than `error`, if anything."""
    message = str(error)
    spec = importlib.util.find_spec("fastlogits._core")
    if spec is None or spec.origin is None:  # nothing, or a folder of sources alone
        tag = sysconfig.get_config_var("EXT_SUFFIX")
        folder = os.path.dirname(__file__)
        message = (
            f"the extension module of fastlogits is not built for this Python: {folder} holds no _core{tag}; "
            "build it in the checkout (pip install -e .) or install a wheel"
        )
    elif not message.startswith("FASTLOGITS_"):
        return
    if is_command():
        print(f"fastlogits: error: {message}", file=sys.stderr)
        raise SystemExit(2) from None
    raise ImportError(message) from None


def version() -> str:
    """The version that is installed; 0+unknown of a source tree that was built but not installed."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("fastlogits")
    except PackageNotFoundError:
        return "0+unknown"
