"""The command line: every command, every error as one line, and the output where it can show less than a terminal."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from commands import process, run, run_json

import fastlogits
from fastlogits.__main__ import main
from fastlogits.bench import bundled, idioms
from fastlogits.cli import demo, load, report, screen

ISAS = fastlogits.cpu.available_isas()
ROOT = Path(__file__).resolve().parent.parent
ESCAPE = "\x1b"


@pytest.fixture(autouse=True)
def short_timings(monkeypatch):
    """The demo's timing takes most of its seconds."""
    monkeypatch.setattr(demo, "SECONDS", 0.02)


@pytest.fixture
def rows():
    return np.random.default_rng(3).normal(0, 3, (6, 200)).astype(np.float32)


@pytest.fixture
def npy(tmp_path, rows):
    np.save(tmp_path / "rows.npy", rows)
    return tmp_path / "rows.npy"


# ---- info ----------------------------------------------------------------------------------------------------------


def test_info_says_what_runs_here(capsys):
    out = run(capsys, "info")
    assert fastlogits.cpu.isa() in out
    assert fastlogits.__version__ in out
    assert ESCAPE not in out


def test_info_as_json(capsys):
    found = run_json(capsys, "info")
    assert found["version"] == fastlogits.__version__
    assert found["isa"]["in_use"] in found["isa"]["available"]
    assert set(found["isa"]["available"]) <= set(found["isa"]["known"])
    assert found["cpu"]["cores"] >= 1
    assert Path(found["sample_rows"]).is_file()


# ---- demo ----------------------------------------------------------------------------------------------------------


def test_demo_in_numbers(capsys):
    found = run_json(capsys, "demo")
    row = bundled.load()
    assert found["vocab"] == 49_152
    assert found["prompt"] + found["generated"] == row.text(row.context[: row.first])
    # The default seed follows the recorded text, so that each row stands behind the tokens drawn before it.
    assert [token["id"] for token in found["tokens"]] == row.context[row.first :].tolist()
    assert all(token["recorded"] for token in found["tokens"])
    assert [stage["step"] for stage in found["stages"]] == [
        "RepetitionPenalty(1.1)", "FrequencyPenalty(0.2)", "PresencePenalty(0.2)", "Temperature(0.8)", "TopK(50)",
        "TopP(0.95)", "MinP(0.05)",
    ]  # fmt: skip
    kept = [stage["kept"] for stage in found["stages"]]
    assert kept[:5] == [49_152] * 4 + [50]
    assert kept[4] > kept[5] > kept[6] == found["timing"]["survivors"]
    assert found["stages"][-1]["removed"] > 0
    for left, right in pairwise(found["stages"]):
        after = {share["id"]: share["after"] for share in left["shares"]}
        before = {share["id"]: share["before"] for share in right["shares"]}
        assert all(after[token] == before[token] for token in after.keys() & before.keys())
    biased = next(share for share in found["bias"] if share["piece"] == " submarine")
    assert biased["before"] is None
    assert biased["after"] > 0.5
    assert found["timing"]["ratio"] == pytest.approx(found["timing"]["numpy"] / found["timing"]["fastlogits"])
    assert len(found["explained"]["steps"]) == 7


def test_demo_probabilities_are_the_references(capsys):
    found, row = run_json(capsys, "demo"), bundled.load()
    kept = fastlogits.reference.candidates(
        row.logits[0], context=row.context[: row.first], prompt_length=row.prompt_length, repetition_penalty=1.1,
        frequency_penalty=0.2, presence_penalty=0.2, temperature=0.8, top_k=50, top_p=0.95, min_p=0.05,
    )  # fmt: skip
    probs = dict(zip(kept.ids.tolist(), np.exp(kept.logprobs).tolist(), strict=True))
    for share in found["stages"][-1]["shares"]:
        expected = probs.get(share["id"])
        assert share["after"] == (None if expected is None else pytest.approx(expected, rel=1e-5))


@pytest.mark.parametrize("columns", [30, 50, 80, 120, 200])
def test_demo_fits_the_width(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = run(capsys, "demo").splitlines()
    assert ESCAPE not in "".join(lines)
    # Tables and commands of a fixed shape are left as they are where they do not fit.
    long = [line for line in lines if len(line) > min(columns, 120)]
    assert columns < 80 or not long
    told = " ".join(" ".join(lines).split())
    for part in ("The old lighthouse keeper", "TopK(50)", "submarine", "NumPy takes", "smallest logit"):
        assert part in told or columns < 50
    assert not any("…" in line for line in lines) or columns < 50


def test_demo_ends_in_the_text(capsys):
    assert "The ship was a big ship, a giant of a ship, with all the bells\n" in run(capsys, "demo")


def test_demo_with_another_seed_owns_up(capsys):
    out = run(capsys, "demo", "--seed", "3")
    assert "leaves the recorded text" in out
    assert "Seed 3 and position 49" in out


COLOURS = re.compile(r"\x1b\[[0-9;]*3[1-7]")


def test_demo_in_ascii():
    env = {"PYTHONIOENCODING": "ascii", "FORCE_COLOR": "1", "NO_COLOR": "1", "TERM": "xterm"}
    done = process("demo", "--seed", "3", env=env)
    assert (done.returncode, done.stderr) == (0, b"")
    out = done.stdout.decode("ascii")
    assert "#####" in out
    assert "?" not in out
    assert not COLOURS.search(out)


def test_demo_in_colours():
    assert COLOURS.search(process("demo", env={"FORCE_COLOR": "1", "TERM": "xterm"}).stdout.decode())


def test_sample_rows_are_small_and_attributed():
    files = list(bundled.PATH.parent.iterdir())
    assert sum(file.stat().st_size for file in files) <= 1_000_000
    told = (bundled.PATH.parent / "README.md").read_text("utf-8")
    assert "SmolLM2-135M-Instruct" in told
    assert "Apache License 2.0" in told
    assert any(file.name.startswith("LICENSE") and "Apache License" in file.read_text("utf-8") for file in files)
    row = bundled.load()
    assert row.logits.shape == (9, 49_152)
    assert row.logits.dtype == np.float16
    likely = np.argsort(-row.logits.astype(float), axis=1, kind="stable")[:, :50]
    assert set(likely.ravel().tolist()) | set(row.context.tolist()) <= row.pieces.keys()
    assert row.piece(49_151) == "<49151>"


# ---- sample --------------------------------------------------------------------------------------------------------

STEERING = ["--temperature", "0.8", "--top-k", "40", "--top-p", "0.9", "--min-p", "0.01"]
KEYWORDS = {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.01}


def test_sample_is_the_library(capsys, npy, rows):
    found = run_json(capsys, "sample", npy, *STEERING, "--seed", "7", "--logprobs", "3")
    expected = fastlogits.sample(rows, rng=7, logprobs=3, **KEYWORDS)
    assert found["seed"] == 7
    assert [row["row"] for row in found["rows"]] == list(range(6))
    assert [row["id"] for row in found["rows"]] == expected.ids.tolist()
    assert [row["rank"] for row in found["rows"]] == expected.ranks.tolist()
    np.testing.assert_allclose([row["logprob"] for row in found["rows"]], expected.logprobs, rtol=1e-6)
    np.testing.assert_allclose([row["raw_logprob"] for row in found["rows"]], expected.raw_logprobs, rtol=1e-6)
    assert [[top["id"] for top in row["top"]] for row in found["rows"]] == [
        ids[ids >= 0].tolist() for ids in expected.top_ids
    ]


def test_sample_one_row_is_that_row_of_all(capsys, npy):
    every = run_json(capsys, "sample", npy, *STEERING, "--seed", "7")["rows"]
    assert run_json(capsys, "sample", npy, *STEERING, "--seed", "7", "--row", "4")["rows"] == every[4:5]


@pytest.mark.parametrize(
    ("row", "expected"),
    [("0", [0]), ("-1", [5]), ("2:4", [2, 3]), ("4:", [4, 5]), (":2", [0, 1]), ("::3", [0, 3]), ("5::-2", [5, 3, 1])],
)
def test_sample_chooses_rows(capsys, npy, row, expected):
    found = run_json(capsys, "sample", npy, "--row", row)
    assert [each["row"] for each in found["rows"]] == expected


def test_sample_text(capsys, npy):
    out = run(capsys, "sample", npy, *STEERING, "--seed", "7", "--logprobs", "2", "--row", "1:3")
    assert out.splitlines()[0] == "Sampler(Temperature(0.8), TopK(40), TopP(0.9), MinP(0.01))  seed 7"
    assert len([line for line in out.splitlines() if re.match(r" *[12] ", line)]) == 2


def test_sample_text_of_several_files_names_them(capsys, npy):
    np.savez(npy.parent / "more.npz", np.zeros((2, 9)))
    lines = run(capsys, "sample", npy, npy.parent / "more.npz", "--row", "0").splitlines()
    assert str(npy) in lines
    assert str(npy.parent / "more.npz") in lines
    assert len([line for line in lines if re.match(r" *0 ", line)]) == 2


def test_sample_draws_anew_without_a_seed(capsys, npy):
    seeds = {run_json(capsys, "sample", npy, "--row", "0")["seed"] for _ in range(3)}
    assert len(seeds) == 3


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i4", "u1"])
@pytest.mark.parametrize("shape", [(200,), (6, 200), (2, 3, 200)])
def test_sample_reads_types_and_shapes(capsys, tmp_path, rows, dtype, shape):
    logits = np.abs(rows)[: int(np.prod(shape[:-1]))].reshape(shape).astype(dtype)
    np.save(tmp_path / "x.npy", np.asfortranarray(logits))
    found = run_json(capsys, "sample", tmp_path / "x.npy", "--greedy")["rows"]
    assert [row["id"] for row in found] == np.ravel(logits.argmax(-1)).tolist()


def test_sample_of_no_rows_is_empty(capsys, tmp_path):
    np.save(tmp_path / "x.npy", np.empty((0, 5), np.float32))
    assert run_json(capsys, "sample", tmp_path / "x.npy")["rows"] == []
    assert "token" in run(capsys, "sample", tmp_path / "x.npy")


def test_sample_finds_the_array_of_an_npz(capsys, tmp_path, rows):
    np.savez(tmp_path / "one.npz", any=rows)
    np.savez_compressed(tmp_path / "two.npz", other=-rows, logits=rows)
    best = rows.argmax(-1).tolist()
    for file, *key in ["one.npz"], ["two.npz"], ["two.npz", "--key", "logits"]:
        assert [r["id"] for r in run_json(capsys, "sample", tmp_path / file, *key, "--greedy")["rows"]] == best
    other = run_json(capsys, "sample", tmp_path / "two.npz", "--key", "other", "--greedy")
    assert [row["id"] for row in other["rows"]] == rows.argmin(-1).tolist()


def test_sample_greedy_bias_and_ban(capsys, npy, rows):
    best = rows.argmax(-1).tolist()
    assert [r["id"] for r in run_json(capsys, "sample", npy, "--greedy")["rows"]] == best
    assert [r["id"] for r in run_json(capsys, "sample", npy, "--temperature", "0")["rows"]] == best
    forced = run_json(capsys, "sample", npy, "--greedy", "--logit-bias", "17:100", "--logit-bias", "3:-1")
    assert {row["id"] for row in forced["rows"]} == {17}
    banned = run_json(capsys, "sample", npy, "--greedy", "--row", "0", "--logit-bias", f"{best[0]}:-inf")
    assert banned["rows"][0]["id"] == int(np.argsort(-rows[0])[1])


@pytest.mark.parametrize("form", ["list", "spaces", "json", "json file", "text file", "npy", "npz"])
def test_sample_takes_a_context(capsys, tmp_path, npy, rows, form):
    context = [5, 17, 17, 30]
    path = tmp_path / "context"
    text = {"list": "5,17,17,30", "spaces": "5 17 17 30", "json": "[5, 17, 17, 30]"}.get(form, str(path))
    if form == "json file":
        path.write_text("[5, 17, 17, 30]\n")
    elif form == "text file":
        path.write_text("5 17\n17 30\n")
    elif form == "npy":
        with path.open("wb") as file:
            np.save(file, np.array(context, np.int32))
    elif form == "npz":
        with path.open("wb") as file:
            np.savez(file, context=np.array(context), x=np.zeros(3))
    penalties = ["--repetition-penalty", "1.3", "--frequency-penalty", "0.5", "--presence-penalty", "0.4"]
    found = run_json(capsys, "sample", npy, *penalties, "--context", text, "--prompt-length", "1", "--seed", "9")
    expected = fastlogits.sample(
        rows, context=[context] * 6, prompt_length=1, repetition_penalty=1.3, frequency_penalty=0.5,
        presence_penalty=0.4, rng=9, logprobs=0,
    )  # fmt: skip
    assert [row["id"] for row in found["rows"]] == expected.ids.tolist()
    np.testing.assert_allclose([row["logprob"] for row in found["rows"]], expected.logprobs, rtol=1e-6)


def test_sample_takes_a_context_per_row(capsys, npy, rows):
    contexts = [[1], [2, 3], [], [4], [5, 5, 5], [6]]
    options = ["--context", json.dumps(contexts), "--frequency-penalty", "1", "--seed", "9"]
    expected = fastlogits.sample(rows, context=contexts, frequency_penalty=1.0, rng=9).tolist()
    assert [row["id"] for row in run_json(capsys, "sample", npy, *options)["rows"]] == expected
    assert [r["id"] for r in run_json(capsys, "sample", npy, *options, "--row", "1:3")["rows"]] == expected[1:3]


def test_sample_shows_no_more_than_survive(capsys, npy):
    found = run_json(capsys, "sample", npy, "--top-k", "2", "--logprobs", "1000")
    assert [len(row["top"]) for row in found["rows"]] == [2] * 6


# ---- explain -------------------------------------------------------------------------------------------------------


def test_explain_is_the_library(capsys, npy, rows):
    out = run(capsys, "explain", npy, *STEERING, "--row", "2")
    assert out == f"{npy}, row 2\n{fastlogits.Sampler(**KEYWORDS).explain(rows[2])}\n"


def test_explain_as_json(capsys, npy):
    found = run_json(capsys, "explain", npy, *STEERING)
    assert found["sampler"] == repr(fastlogits.Sampler(**KEYWORDS))
    assert [row["row"] for row in found["rows"]] == list(range(6))
    assert [step["name"] for step in found["rows"][0]["steps"]] == ["temperature", "top_k", "top_p", "min_p"]


def test_the_idioms_do_the_same_job():
    row = np.random.default_rng(5).normal(0, 3, 3000).astype(np.float32)
    context = np.array([4, 9, 9, 2000], np.int64)
    kept = fastlogits.candidates(row, temperature=0.8, top_k=50, top_p=0.95, min_p=0.05)
    drawn = idioms.top_k_chain(row, 0.8, 50, 0.95, 0.05, 0.5)
    np.testing.assert_array_equal(drawn.ids, kept.ids)
    np.testing.assert_allclose(np.log(drawn.probs), kept.logprobs, rtol=1e-4, atol=1e-5)
    assert drawn.token in kept.ids
    np.testing.assert_array_equal(idioms.largest(row, 40), fastlogits.top_k(row, 40).indices)
    penalised = fastlogits.filter_logits(
        row, context=context, prompt_length=1, repetition_penalty=1.2, frequency_penalty=0.3, presence_penalty=0.1
    )
    np.testing.assert_allclose(idioms.penalise(row, context, 1, 1.2, 0.3, 0.1), penalised, rtol=1e-6)


# ---- errors: exit code 2, one line, nothing else -------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path, monkeypatch, rows):
    """Files that must be refused, and sound ones to spoil with options."""
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", rows)
    np.savez("good.npz", a=rows, b=rows)
    np.savez("empty.npz")
    data = Path("good.npy").read_bytes()
    Path("short.npy").write_bytes(data[:-400])
    Path("header.npy").write_bytes(data[:20])
    Path("short.npz").write_bytes(Path("good.npz").read_bytes()[:-300])
    zipped = bytearray(Path("good.npz").read_bytes())
    zipped[300:340] = b"\0" * 40
    Path("bits.npz").write_bytes(zipped)
    Path("nothing.npy").write_bytes(b"")
    Path("text.npy").write_text("1 2 3\n")
    np.save("object.npy", np.array([[1.0, None]], object), allow_pickle=True)
    np.savez("object.npz", logits=np.array([[1.0, None]], object))
    Path("pickle.npy").write_bytes(np.float64(1.0).dumps() if hasattr(np.float64, "dumps") else b"\x80\x04N.")
    np.save("words.npy", np.array(["a", "b"]))
    np.save("bool.npy", rows > 0)
    np.save("complex.npy", rows + 1j)
    np.save("void.npy", np.zeros((2, 8), "V2"))
    np.save("scalar.npy", np.float32(1))
    np.save("narrow.npy", np.empty((3, 0), np.float32))
    for name, value in ("nan", np.nan), ("inf", np.inf), ("banned", -np.inf):
        spoiled = rows.copy()
        spoiled[3, slice(None) if name == "banned" else 7] = value
        np.save(f"{name}.npy", spoiled)
    Path("ids.txt").write_text("1, two, 3")
    Path("ids.bin").write_bytes(b"\xff\xfe\x00")
    np.save("floats.npy", np.array([1.5, 2.0]))


ERRORS = [
    ([], "required"),
    (["fly"], "invalid choice"),
    (["sample"], "required"),
    (["sample", "absent.npy"], "absent.npy: No such file"),
    (["sample", "."], "directory"),
    (["sample", "nothing.npy"], "not a .npy or .npz"),
    (["sample", "text.npy"], "not a .npy or .npz"),
    (["sample", "pickle.npy"], "not a .npy or .npz"),
    (["sample", "short.npy"], "short.npy: damaged or incomplete"),
    (["sample", "header.npy"], "header.npy: damaged or incomplete"),
    (["sample", "short.npz"], "short.npz: damaged or incomplete"),
    (["sample", "bits.npz", "--key", "a"], "bits.npz: damaged or incomplete"),
    (["sample", "object.npy"], "Python objects"),
    (["sample", "object.npz"], "Python objects"),
    (["sample", "empty.npz"], "it holds no array"),
    (["sample", "good.npz"], "no array 'logits'; it holds a, b"),
    (["sample", "good.npz", "--key", "c"], "no array 'c'; it holds a, b"),
    (["sample", "good.npy", "--key", "a"], "--key a is for .npz files"),
    (["sample", "words.npy"], "got dtype <U1"),
    (["sample", "bool.npy"], "got dtype bool"),
    (["sample", "complex.npy"], "got dtype complex64"),
    (["sample", "void.npy"], "bfloat16"),
    (["sample", "scalar.npy"], "must have shape [V] or [..., V]"),
    (["sample", "narrow.npy"], "must have shape [V] or [..., V]"),
    (["sample", "nan.npy"], "nan.npy: row 3: logits contains NaN"),
    (["sample", "inf.npy"], "inf.npy: row 3: logits contains +inf"),
    (["sample", "banned.npy"], "banned.npy: row 3"),
    (["explain", "nan.npy", "--top-p", "0.9"], "nan.npy: row 3: logits contains NaN"),
    (["explain", "absent.npy"], "absent.npy: No such file"),
    (["sample", "good.npy", "nan.npy"], "nan.npy: row 3"),
    (["sample", "good.npy", "--row", "6"], "--row 6 is out of range: good.npy has 6 rows"),
    (["sample", "good.npy", "--row", "-7"], "--row -7 is out of range"),
    (["sample", "good.npy", "--row", "7:9"], "--row 7:9 selects nothing"),
    (["sample", "good.npy", "--row", "::0"], "step must not be 0"),
    (["sample", "good.npy", "--row", "first"], "must be a row number or a range"),
    (["sample", "good.npy", "--row", "9" * 5000], "--row must hold numbers of at most 4,300 digits"),
    (["sample", "good.npy", "--context", "9" * 5000], "--context: not a list of token ids"),
    (["sample", "good.npy", "--top-p", "95"], "top_p must be in [0, 1], got 95"),
    (["sample", "good.npy", "--top-p", "nan"], "top_p must be"),
    (["sample", "good.npy", "--min-p", "-1"], "min_p must be in [0, 1], got -1"),
    (["sample", "good.npy", "--top-k", "-2"], "top_k must be"),
    (["sample", "good.npy", "--top-k", "2.5"], "--top-k"),
    (["sample", "good.npy", "--temperature", "-1"], "temperature must be"),
    (["sample", "good.npy", "--temperature", "inf"], "temperature must be"),
    (["sample", "good.npy", "--temperature", "warm"], "--temperature"),
    (["sample", "good.npy", "--greedy", "--temperature", "1"], "not allowed with"),
    (["sample", "good.npy", "--repetition-penalty", "0"], "repetition_penalty must be"),
    (["sample", "good.npy", "--frequency-penalty", "inf"], "frequency_penalty must be"),
    (["sample", "good.npy", "--presence-penalty", "nan"], "presence_penalty must be"),
    (["sample", "good.npy", "--logit-bias", "5"], "must be ID:VALUE"),
    (["sample", "good.npy", "--logit-bias", "x:1"], "must be ID:VALUE"),
    (["sample", "good.npy", "--logit-bias", "5:nan"], "must be ID:VALUE"),
    (["sample", "good.npy", "--logit-bias", "5:inf"], "logit_bias"),
    (["sample", "good.npy", "--logit-bias", "200:1"], "token id 200 must be in [0, 200)"),
    (["sample", "good.npy", "--logit-bias", "5:1", "--logit-bias", "5:2"], "token id 5"),
    (["sample", "good.npy", "--logit-bias", f"{10**30}:1"], "logit_bias"),
    (["sample", "good.npy", "--context", "200", "--presence-penalty", "1"], "token id 200 must be in [0, 200)"),
    (["sample", "good.npy", "--context", "-1", "--presence-penalty", "1"], "token id -1 must be in [0, 200)"),
    (["sample", "good.npy", "--context", "[1, 2"], "not a list of token ids"),
    (["sample", "good.npy", "--context", "[[1], 2]"], "token ids must be integers"),
    (["sample", "good.npy", "--context", "[[1], [2]]"], "--context holds 2 lists, but good.npy has 6 rows"),
    (["sample", "good.npy", "--context", f"{10**30}"], "64 bits"),
    (["sample", "good.npy", "--context", "absent.json"], "absent.json: No such file"),
    (["sample", "good.npy", "--context", "ids.txt"], "ids.txt: not a list of token ids"),
    (["sample", "good.npy", "--context", "ids.bin"], "ids.bin: neither"),
    (["sample", "good.npy", "--context", "floats.npy"], "floats.npy: token ids must be integers"),
    (["sample", "good.npy", "--context", "1,2", "--prompt-length", "-1"], "prompt_length"),
    (["sample", "good.npy", "--seed", "-1"], "must be an integer >= 0"),
    (["sample", "good.npy", "--seed", "x"], "must be an integer >= 0"),
    (["sample", "good.npy", "--logprobs", "-1"], "--logprobs must be >= 0"),
    (["demo", "--seed", "-1"], "must be an integer >= 0"),
    (["bench", "--vocab", "10"], "--vocab must be in"),
    (["bench", "--seconds", "nan"], "--seconds must be in"),
    (["bench", "--only", "("], "--only: '(' is no regular expression"),
    (["bench", "--only", "nothing"], "--only nothing matches none of: argmax; "),
    (["bench", "--against", "numpy,blas"], "--against: unknown 'blas'; choices: numpy, scipy, torch"),
    (["bench", "--against", ""], "--against: unknown ''"),
    (["bench", "--plot", "bars.pdf"], "--plot must end in .svg or .png, got 'bars.pdf'"),
    (["bench", "--dtype", "float64"], "invalid choice: 'float64'"),
    (["bench", "--rows", "odd"], "invalid choice: 'odd'"),
    (["info", "--loud"], "unrecognized arguments"),
]


@pytest.mark.parametrize(("argv", "message"), ERRORS, ids=[" ".join(argv)[:60] or "nothing" for argv, _ in ERRORS])
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.usefixtures("broken")
def test_error_is_one_line(capsys, argv, message, as_json):
    assert main([*argv, "--json"] if as_json and argv else argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("fastlogits")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err


@pytest.mark.usefixtures("broken")
def test_error_in_a_process():
    done = process("sample", "nan.npy")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr == b"fastlogits: error: nan.npy: row 3: logits contains NaN\n"


@pytest.fixture
def script(tmp_path):
    """The console script, as pip writes it."""
    path = tmp_path / "fastlogits"
    path.write_text("import sys\nfrom fastlogits.__main__ import main\nsys.exit(main())\n")
    return str(path)


@pytest.mark.parametrize("start", ["script", "-m fastlogits", "-mfastlogits", "-m fastlogits.__main__"])
@pytest.mark.parametrize("argv", [["info"], ["demo", "--json"], ["--help"]], ids=" ".join)
@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        (
            "FASTLOGITS_ISA",
            "x",
            f"instruction set 'x' is unknown; choices: {', '.join(fastlogits.cpu.available_isas())}",
        ),
        ("FASTLOGITS_THREADS", "many", "must be an integer in [0, 1024], got 'many'"),
    ],
)
def test_bad_variable_is_one_line(script, start, argv, variable, value, told):
    begin = [script] if start == "script" else start.split()
    environment = os.environ | {variable: value}
    done = subprocess.run([sys.executable, *begin, *argv], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"fastlogits: error: {variable}:? {re.escape(told)}\n", done.stderr)


@pytest.mark.parametrize("begin", [["-c"], ["-m", "timeit", "-n", "1"], []], ids=["-c", "-m", "a file"])
def test_bad_variable_is_an_import_error_elsewhere(tmp_path, begin):
    code = "import fastlogits"
    file = tmp_path / "other.py"
    file.write_text(code)
    command = [sys.executable, *begin, code if begin else str(file)]
    environment = os.environ | {"FASTLOGITS_ISA": "x"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ImportError: FASTLOGITS_ISA: ")


# ---- around the commands -------------------------------------------------------------------------------------------

NO_RICH = "sys.modules['rich'] = None"


@pytest.mark.parametrize("argv", [["demo"], ["sample", "FILE"], ["bench", "--only", "argmax"]], ids=lambda v: v[0])
def test_without_rich_one_line_says_how_to_get_it(npy, argv):
    done = process(*[str(npy) if each == "FILE" else each for each in argv], code=NO_RICH)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert b"pip install rich" in done.stderr


@pytest.mark.parametrize(
    "argv",
    [
        ["info"],
        ["info", "--json"],
        ["demo", "--json"],
        ["sample", "FILE", "--json"],
        ["explain", "FILE"],
        ["explain", "FILE", "--json"],
        ["bench", "--vocab", "2000", "--against", "numpy", "--only", "argmax", "--quick", "--json"],
    ],
    ids=" ".join,
)
def test_without_rich_the_rest_works(npy, argv):
    done = process(*[str(npy) if each == "FILE" else each for each in argv], code=NO_RICH)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "--json" not in argv or json.loads(done.stdout)


def test_the_library_does_not_load_the_command_line():
    code = "import fastlogits; assert not [m for m in sys.modules if m.startswith(('rich', 'fastlogits.cli'))]"
    assert process("info", code=code).returncode == 0


@pytest.mark.parametrize("argv", [["demo"], ["info"], ["info", "--json"], ["--help"]], ids=" ".join)
def test_broken_pipe_is_quiet(argv):
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = process(*argv, capture_output=False, stdout=writer, stderr=subprocess.PIPE)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_full_disk_is_one_line():
    with open("/dev/full", "wb") as full:
        done = process("info", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1


def test_without_the_extension_module(tmp_path):
    """A source tree that was not built says so, and how to build it."""
    shutil.copytree(
        ROOT / "fastlogits", tmp_path / "fastlogits", ignore=shutil.ignore_patterns("_core*.so", "_core*.pyd")
    )
    # No site, which knows of editable installs.
    start = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(Path(np.__file__).parents[1])!r}]; "
    for code in "import fastlogits", "sys.argv = ['fastlogits', 'info']; import fastlogits.__main__":
        done = subprocess.run([sys.executable, "-S", "-c", start + code], capture_output=True, text=True, check=False)
        assert "is not built for this Python" in done.stderr
        assert "pip install -e ." in done.stderr
        assert "circular" not in done.stderr.splitlines()[-1]
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_run_as_a_module():
    done = subprocess.run([sys.executable, "-m", "fastlogits", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"fastlogits {fastlogits.__version__}\n"


@pytest.mark.parametrize("command", ["demo", "sample", "explain", "score", "calibrate", "compare", "info", "bench"])
def test_help(capsys, command):
    assert command in run(capsys, "--help")
    assert "--json" in run(capsys, command, "--help")


def test_bars_to_an_eighth(monkeypatch):
    view = screen.Screen()
    view.ascii = False
    assert [view.bar(share, 2).plain for share in (0, 1 / 16, 0.5, 9 / 16, 1, 7)] == ["", "▏", "█", "█▏", "██", "██"]
    view.ascii = True
    assert [view.bar(share, 4).plain for share in (-1, 0.1, 0.5, 1)] == ["", "", "##", "####"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100 %"), (0.9996, "100 %"), (0.5, "50.0 %"), (0.01, "1.0 %"), (0.0021, "0.21 %"), (3e-5, "0.003 %"),
     (2e-9, "2e-07 %"), (0, "0 %")],
)  # fmt: skip
def test_percent(share, text):
    assert screen.percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(2.5, "2.50 s"), (0.0456, "45.6 ms"), (4.5e-6, "4.50 us"), (2e-4, "200 us"), (8e-8, "80 ns")]
)
def test_duration(seconds, text):
    assert screen.duration(seconds) == text


def test_json_has_no_words_for_numbers():
    value = {"a": float("nan"), "b": [-np.inf, np.float32(1.5)], 3: (np.int64(4), None, "x", True)}
    assert report.plain(value) == {"a": None, "b": [None, 1.5], "3": [4, None, "x", True]}


def test_contexts_of_odd_forms():
    assert load.read_contexts(None).of_row(5) == []
    assert load.read_contexts("").of_row(0) == []
    assert load.read_contexts("[]").of_row(0) == []
    assert load.read_contexts("[[1], []]").of_row(1) == []


def test_the_decode_loop_of_the_examples(capsys):
    start = time.process_time()
    example = runpy.run_path(str(ROOT / "examples" / "decode_loop.py"))
    example["main"](7)
    lines = capsys.readouterr().out.splitlines()
    assert time.process_time() - start < 5
    first, again, other = (line.partition(": ")[2] for line in lines[1:])
    assert first == again != other
    assert len(first) == 84
