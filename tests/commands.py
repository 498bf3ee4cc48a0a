"""Runs of the command line, in this process and in one of their own."""

import json
import os
import subprocess
import sys

from fastlogits.__main__ import main


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
