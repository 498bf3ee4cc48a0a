"""The commands, their options, and what becomes of an error."""

from __future__ import annotations

import argparse
import importlib
import math
import os
import sys
from typing import TYPE_CHECKING, NoReturn

from fastlogits.cli import UserError, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

RICH_MISSING = "the tables and bars need rich: pip install rich (info, explain and --json work without it)"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and where help is, on standard error; exit code 2."""
        self.exit(2, f"{self.prog}: error: {one_line(message)} (see {self.prog} --help)\n")


def one_line(message: object) -> str:
    """The text of `message` without line breaks and control characters."""
    return printable(" ".join(str(message).split()))


def bias_pair(text: str) -> tuple[int, float]:
    """``ID:VALUE`` as (id, bias); a value may be -inf."""
    token, colon, value = text.partition(":")
    try:
        pair = int(token), float(value)
    except ValueError:
        colon = ""
    if not colon or math.isnan(pair[1]):
        raise argparse.ArgumentTypeError(f"must be ID:VALUE, as in 42:-1.5 or 42:-inf, got {text!r}")
    return pair


def seed_number(text: str) -> int:
    """A seed: an integer >= 0."""
    try:
        seed = int(text)
    except ValueError:
        seed = -1
    if seed < 0:
        raise argparse.ArgumentTypeError(f"must be an integer >= 0, got {text!r}")
    return seed


def add_json(command: argparse.ArgumentParser) -> None:
    """The option every command has."""
    command.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_rows(command: argparse.ArgumentParser) -> None:
    """The options that say which rows of which files."""
    group = command.add_argument_group("rows")
    group.add_argument("files", nargs="+", metavar="FILE", help=".npy or .npz with logits [V] or [..., V]")
    group.add_argument("--key", metavar="NAME", help="array of the .npz (default: logits, or the only one)")
    group.add_argument(
        "--row", metavar="R", help="row number or range start:stop:step, counted over all leading axes (default: all)"
    )


def add_steering(command: argparse.ArgumentParser) -> None:
    """The options that make a Sampler, off unless given, and the inputs of its call."""
    group = command.add_argument_group("steering (all off by default; edits come first, then temperature and cuts)")
    group.add_argument("--repetition-penalty", type=float, metavar="THETA", help="> 0; over all context tokens")
    group.add_argument("--frequency-penalty", type=float, metavar="ALPHA", help="per occurrence behind the prompt")
    group.add_argument("--presence-penalty", type=float, metavar="ALPHA", help="once, for tokens behind the prompt")
    group.add_argument(
        "--logit-bias", type=bias_pair, action="append", metavar="ID:VALUE", help="repeatable; -inf bans the token"
    )
    picks = group.add_mutually_exclusive_group()
    picks.add_argument("--temperature", type=float, metavar="T", help=">= 0; 0 is greedy")
    picks.add_argument("--greedy", action="store_true", help="take the likeliest token")
    group.add_argument("--top-k", type=int, metavar="K", help="keep the K likeliest; 0 and -1 are off")
    group.add_argument("--top-p", type=float, metavar="P", help="in [0, 1]; keep the nucleus of mass P")
    group.add_argument("--min-p", type=float, metavar="P", help="in [0, 1]; keep what is P times as likely as the top")
    group.add_argument(
        "--context", metavar="IDS", help="token ids so far: 5,7,9 or [[5],[7,9]] (one list per row), or a file of them"
    )
    group.add_argument("--prompt-length", type=int, default=0, metavar="N", help="context tokens that are the prompt")
    group.add_argument(
        "--out-of-vocab", choices=("error", "placeholder"), default="error", help="what a context id outside [0, V) is"
    )


def add_run(command: argparse.ArgumentParser) -> None:
    """The options of long work: bad rows, chunks, where results go, and the state to go on from."""
    group = command.add_argument_group("run")
    group.add_argument(
        "--nan", choices=("raise", "skip"), default="raise",
        help="a row with NaN, +inf or no finite logit ends the run (default), or is counted and left out",
    )  # fmt: skip
    group.add_argument("--chunk", type=int, metavar="ROWS", help="rows read at a time (default: 64 MiB of logits)")
    group.add_argument(
        "--json", nargs="?", const="-", metavar="OUT", help="JSON instead of the table: into OUT, or printed without it"
    )
    group.add_argument(
        "--resume", metavar="STATE", help="keep what is done in this file, and go on from it after an interruption"
    )


def add_targets(command: argparse.ArgumentParser) -> None:
    """The options that name logits and their targets."""
    command.add_argument("logits", metavar="LOGITS", help=".npy (mapped), .npz or FILE.npz:NAME with [V] or [..., V]")
    command.add_argument(
        "--targets", required=True, metavar="FILE|NAME",
        help="true tokens, one per row: .npy, .npz, FILE.npz:NAME, a text file of ids, or an array beside the logits",
    )  # fmt: skip
    command.add_argument(
        "--ignore-index", type=int, default=-100, metavar="ID", help="rows with this target are left out (default -100)"
    )


def add_long(commands: argparse._SubParsersAction[Parser]) -> None:
    """The commands that read whole files of logits."""
    from fastlogits.calibration._bins import NORMS, RULES, STRATEGIES

    score = commands.add_parser("score", help="perplexity, accuracy, ranks and entropies of a text against your logits")
    add_targets(score)
    score.add_argument("--temperature", type=float, default=1.0, metavar="T", help="> 0 (default 1)")
    score.add_argument("--top-n", type=int, default=0, metavar="N", help="accuracy within the N likeliest; CSV: the N")
    score.add_argument("--text", metavar="FILE", help="the text in UTF-8, for figures per word and byte")
    score.add_argument("--words", type=int, metavar="N", help="its length in words, in place of --text")
    score.add_argument("--bytes", type=int, metavar="N", help="its length in bytes, in place of --text")
    score.add_argument("--csv", metavar="OUT", help="a line per row: log-prob, rank, greedy, entropies, margin, top N")
    score.add_argument("--report", metavar="OUT.html", help="a page with figures, the text in colours, calibration")
    score.add_argument("--pieces", metavar="FILE", help="JSON list of the text of each token id, for --report")
    add_run(score)

    calibrate = commands.add_parser("calibrate", help="is your model right as often as it says? before and after a fit")
    add_targets(calibrate)
    calibrate.add_argument("--bins", type=int, default=15, metavar="N", help="bins of confidence (default 15)")
    calibrate.add_argument("--norm", choices=NORMS, default="l1", help="of the gaps (default l1, the expected error)")
    calibrate.add_argument(
        "--strategy", choices=STRATEGIES, default="uniform", help="equal width (default), equal mass"
    )
    calibrate.add_argument("--rule", choices=RULES, default="netcal", help="whose bin edges (default netcal)")
    calibrate.add_argument(
        "--probabilities", action=argparse.BooleanOptionalAction,
        help="LOGITS holds probabilities: their logarithms are the logits (default: logits, and an error if every row "
        "could be probabilities)",
    )  # fmt: skip
    calibrate.add_argument("--csv", metavar="OUT", help="the reliability curves, a line per bin")
    calibrate.add_argument("--report", metavar="OUT.html", help="a page with figures and the reliability diagram")
    add_run(calibrate)
    add_compare(commands)


def add_compare(commands: argparse._SubParsersAction[Parser]) -> None:
    """The command that reads two files."""
    compare = commands.add_parser("compare", help="divergences of the distributions in two files of logits")
    for name, letter in ("A", "p"), ("B", "q"):
        compare.add_argument(name.lower(), metavar=name, help=f"logits of {letter}: .npy (mapped), .npz, FILE.npz:NAME")
    compare.add_argument("--temperature", type=float, default=1.0, metavar="T", help="> 0, of both (default 1)")
    compare.add_argument(
        "--beta", type=float, default=0.5, metavar="B", help="weight of p in Jensen-Shannon, in (0, 1)"
    )
    compare.add_argument("--top-n", type=int, default=1, metavar="N", help="agreement of the N likeliest (default 1)")
    compare.add_argument("--csv", metavar="OUT", help="a line per row: all measures")
    add_run(compare)


def add_bench(commands: argparse._SubParsersAction[Parser]) -> None:
    """The command that measures."""
    bench = commands.add_parser(
        "bench", help="speed on this machine beside NumPy, SciPy, torch, transformers, llama.cpp and ONNX Runtime",
        description="The same work by each library on one core, checked to give the same result before it is timed, "
        "as multiples of reading the row once, with the error in ulp.",
    )  # fmt: skip
    bench.add_argument(
        "--against", metavar="PEERS",
        help="some of numpy,scipy,torch,transformers,llama_cpp,onnxruntime (default: those that are installed)",
    )  # fmt: skip
    bench.add_argument("--only", default="", metavar="REGEX", help="jobs whose name matches")
    bench.add_argument("--vocab", type=int, default=128_256, metavar="V", help="logits per row (default: 128256)")
    bench.add_argument(
        "--rows", choices=("real", "peaky", "flat"), default="real",
        help="a row of a real model, repeated lower down for a larger vocabulary (default), or a made one",
    )  # fmt: skip
    bench.add_argument("--dtype", choices=("float32", "float16", "bfloat16"), default="float32", help="of the rows")
    bench.add_argument("--cold", action="store_true", help="rows from memory in turn, instead of one in the cache")
    bench.add_argument("--seconds", type=float, default=2.0, metavar="S", help="for one job (default: 2)")
    bench.add_argument("--quick", action="store_true", help="0.2 seconds for one job")
    bench.add_argument(
        "--json", nargs="?", const="-", metavar="OUT", help="JSON: into OUT beside the table, or printed in its place"
    )
    bench.add_argument(
        "--markdown", nargs="?", const="-", metavar="OUT", help="Markdown: into OUT beside the table, or in its place"
    )
    bench.add_argument("--plot", metavar="OUT", help="bars on a logarithmic axis, .svg or .png")


def parser() -> Parser:
    """The whole command line."""
    import fastlogits

    top = Parser(prog="fastlogits", description="From logits to the next token, in one pass over the row.")
    top.add_argument("--version", action="version", version=f"fastlogits {fastlogits.__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)

    demo = commands.add_parser("demo", help="the main job on real logits of a small language model")
    demo.add_argument("--seed", type=seed_number, metavar="S", help="another course of the text")
    add_json(demo)

    sample = commands.add_parser("sample", help="draw a token from each row of your files")
    add_rows(sample)
    add_steering(sample)
    sample.add_argument("--seed", type=seed_number, metavar="S", help="default: a new one, which is shown")
    sample.add_argument("--logprobs", type=int, default=0, metavar="N", help="also show the N likeliest of each row")
    add_json(sample)

    explain = commands.add_parser("explain", help="how rows of your files are worked on, and what each step leaves")
    add_rows(explain)
    add_steering(explain)
    add_json(explain)

    add_long(commands)

    add_json(commands.add_parser("info", help="version, instruction sets, CPU and threads"))

    add_bench(commands)
    return top


def run(argv: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")  # a token's text may have no place in the terminal's encoding
    try:
        code = attempt(argv)
        print(end="", flush=True)
        return code
    except BrokenPipeError:
        write_no_more()
        return 0
    except OSError as error:
        write_no_more()
        return complain(f"{error.filename or 'standard output'}: {error.strerror}")


def write_no_more() -> None:
    """Point standard output at nothing, so that the interpreter's last flush cannot fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def attempt(argv: Sequence[str]) -> int:
    """Parse and run; what is the user's to mend, one line."""
    try:
        options = parser().parse_args(argv)
        check_places(options)
        importlib.import_module(f"fastlogits.cli.{options.command}").run(options)
    except UserError as error:
        return complain(error)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        return complain(RICH_MISSING)
    except KeyboardInterrupt:
        return 130
    except SystemExit as finish:  # --help, --version and the parser's errors
        return finish.code if isinstance(finish.code, int) else 0
    return 0


#: The options that name a file written when the work is done; what a report must be called its own command says.
PLACES = ("json", "markdown", "plot")


def check_places(options: argparse.Namespace) -> None:
    """Refuse before the work what could not be written after it."""
    places = [place for name in PLACES if isinstance(place := getattr(options, name, None), str) and place != "-"]
    if places:
        from fastlogits.cli import state

        for place in places:
            state.check_place(place)


def complain(message: object) -> int:
    """One line on standard error; the exit code."""
    print(f"fastlogits: error: {one_line(message)}", file=sys.stderr)
    return 2
