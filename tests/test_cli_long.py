"""score, calibrate and compare: figures of the library, and inputs that are refused."""

import csv
import errno
import json
import os
import pty
import subprocess
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rows as data
from commands import BAD, IGNORED, LONG, ROWS, V, process, run, run_json, write_files

import fastlogits as fl
from fastlogits.__main__ import main
from fastlogits._common.exact import ExactSum
from fastlogits.cli import inputs, page, score, screen, state
from fastlogits.cli.steering import FileRow


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files of `write_files` in a folder of their own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return write_files()


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def numbers(lines, name):
    return np.array([float(line[name]) for line in lines if line[name]])


# ---- figures -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [[], ["--chunk", "1"], ["--chunk", "8"]], ids=str)
def test_score_is_the_library(capsys, files, chunk):
    p, _, targets = files
    asked = ["--top-n", "3", "--temperature", "0.7", "--bytes", "99", "--words", "20", "--csv", "out.csv", *chunk]
    got = run_json(capsys, "score", "p.npy", "--targets", "targets.npy", *asked)
    kept = targets >= 0
    found = fl.token_logprobs(
        p, targets, top_n=3, rank=True, argmax=True, entropy=True, varentropy=True, margin=True, temperature=0.7
    )
    score = fl.score_text(found.logprobs, greedy=found.greedy, mask=kept, words=20, bytes=99)
    for name in ("loglikelihood", "perplexity", "bits_per_token", "accuracy", "is_greedy", "tokens", "words", "bytes",
                 "word_perplexity", "byte_perplexity", "bits_per_byte"):  # fmt: skip
        assert got[name] == getattr(score, name), name
    assert (got["rows"], got["ignored"], got["skipped"]) == (ROWS, 2, 0)
    assert got["mean_entropy"] == ExactSum.of(found.entropy[kept]).over(ROWS - 2)
    assert got["mean_varentropy"] == ExactSum.of(found.varentropy[kept]).over(ROWS - 2)
    assert got["mean_rank"] == found.ranks[kept].mean()
    assert got["top_n_accuracy"] == (found.ranks[kept] <= 3).mean()
    lines = table("out.csv")
    assert [int(line["row"]) for line in lines] == list(range(ROWS))
    assert {int(line["row"]) for line in lines if line["status"] == "ignored"} == set(IGNORED)
    names = {"logprobs": "logprob", "ranks": "rank", "greedy": "greedy", "margin": "margin", "varentropy": "varentropy"}
    for field, name in names.items():
        expected = getattr(found, field)[kept]
        assert data.same_bits(numbers(lines, name).astype(expected.dtype), expected), name
    assert data.same_bits(numbers(lines, "top_2_logprob").astype(np.float32), found.top_logprobs[kept, 1])
    assert numbers(lines, "top_3_id").tolist() == found.top_ids[kept, 2].tolist()


def test_score_takes_the_text(capsys, files):
    Path("text").write_text("to bé\nor not", "utf-8")
    got = run_json(capsys, "score", "p.npy", "--targets", "targets.npy", "--text", "text")
    assert (got["words"], got["bytes"]) == (4, 13)
    assert got["bits_per_byte"] == pytest.approx(-got["loglikelihood"] / 13 / np.log(2))


@pytest.mark.parametrize(
    ("logits", "targets"),
    [("both.npz:a", "gold"), ("both.npz:a", "both.npz"), ("both.npz:a", "both.npz:gold"), ("p.npy", "both.npz:gold"),
     ("p.npy", "ids.txt"), ("p.npy", "ids.json"), ("cube.npy", "targets.npy"), ("cube.npy", "cube_ids.npy")],
)  # fmt: skip
def test_places_of_logits_and_targets(capsys, files, logits, targets):
    p, _, ids = files
    Path("ids.txt").write_text(" ".join(map(str, ids)))
    Path("ids.json").write_text(json.dumps(ids.tolist()))
    np.save("cube.npy", p[None])
    np.save("cube_ids.npy", ids[None])
    got = run_json(capsys, "score", logits, "--targets", targets)
    assert got["loglikelihood"] == run_json(capsys, "score", "p.npy", "--targets", "targets.npy")["loglikelihood"]


def test_real_text(capsys, tmp_path):
    folder = data.data_folder()
    if folder is None:
        pytest.skip("no real logits: set FASTLOGITS_DATA to the folder of smollm2_*.npz")
    real = [str(folder / "smollm2_scores.npz"), "--targets", "targets"]
    got = run_json(capsys, "score", *real, "--resume", tmp_path / "state", "--chunk", "50")
    assert got["perplexity"] == pytest.approx(24.344, abs=1e-3)
    assert got["accuracy"] == pytest.approx(0.3833, abs=5e-5)
    fitted = run_json(capsys, "calibrate", *real)
    assert fitted["before"]["mean_confidence"] == pytest.approx(0.3643, abs=5e-5)
    assert fitted["after"]["negative_log_likelihood"] <= fitted["before"]["negative_log_likelihood"]


@pytest.mark.parametrize("how", [[], ["--bins", "7", "--norm", "l2", "--strategy", "quantile", "--rule", "sklearn"]])
@pytest.mark.parametrize("chunk", [[], ["--chunk", "5"]], ids=str)
def test_calibrate_is_the_library(capsys, files, how, chunk):
    p, _, targets = files
    np.save("sure.npy", 3 * p)
    got = run_json(capsys, "calibrate", "sure.npy", "--targets", "targets.npy", *how, *chunk, "--csv", "out.csv")
    fit = fl.fit_temperature(3 * p, targets, ignore_index=-100)
    assert got["temperature"] == fit.temperature > 1.5
    chosen = {"bins": 7, "strategy": "quantile", "rule": "sklearn"} if how else {}
    same = {"from_logits": True, "ignore_index": -100}
    assert got["tokens"] == ROWS - 2
    for side, t in ("before", 1.0), ("after", fit.temperature):
        norm = "l2" if how else "l1"
        error = fl.calibration_error(3 * p, targets, norm=norm, temperature=t, **chosen, **same)
        assert got[side]["calibration_error"] == error
        assert got[side]["brier_score"] == fl.brier_score(3 * p, targets, temperature=t, **same)
        nll = fl.negative_log_likelihood(3 * p, targets, temperature=t, **same)
        assert got[side]["negative_log_likelihood"] == nll
        curve = fl.reliability_curve(3 * p, targets, temperature=t, **chosen, **same)
        assert got[side]["curve"]["counts"] == curve.counts.tolist()
        lines = [line for line in table("out.csv") if float(line["temperature"]) == t]
        assert data.same_bits(numbers(lines, "accuracies"), curve.accuracies[curve.counts > 0])


def test_calibrate_of_probabilities(capsys, files):
    p, _, targets = files
    np.save("probs.npy", fl.softmax(p).astype(np.float16))
    asked = ["calibrate", "probs.npy", "--targets", "targets.npy"]
    assert main(asked) == 2
    err = capsys.readouterr().err
    assert "probs.npy: rows without a negative value that all sum to 1" in err
    assert "give --probabilities, or --no-probabilities" in err
    for option, from_logits in ("--probabilities", False), ("--no-probabilities", True):
        right = fl.fit_temperature(np.load("probs.npy"), targets, from_logits=from_logits, ignore_index=-100)
        for chunk in ([], ["--chunk", "5"]):
            got = run_json(capsys, *asked, option, *chunk)
            assert got["temperature"] == right.temperature
            assert got["after"]["negative_log_likelihood"] == pytest.approx(right.nll_after, rel=1e-6)
    assert main(["calibrate", "p.npy", "--targets", "targets.npy", "--probabilities"]) == 2
    assert "p.npy: row 0 must hold probabilities that sum to 1" in capsys.readouterr().err


@pytest.mark.parametrize("chunk", [[], ["--chunk", "5"]], ids=str)
def test_compare_is_the_library(capsys, files, chunk):
    p, q, _ = files
    asked = ["--top-n", "4", "--beta", "0.3", "--temperature", "1.5", "--csv", "out.csv", *chunk]
    got = run_json(capsys, "compare", "p.npy", "q.npy", *asked)
    every = dict.fromkeys(("reverse_kl", "js", "total_variation", "cross_entropy"), True)
    found = fl.compare_distributions(p, q, **every, top_n=4, beta=0.3, temperature=1.5)
    totals, lines = found.totals(), table("out.csv")
    for name, measure in got["measures"].items():
        values = getattr(found, name)
        assert (measure["mean"], measure["total"]) == (totals.mean(name), totals.total(name)), name
        assert (measure["largest"], measure["largest_row"]) == (values.max(), values.argmax()), name
        assert data.same_bits(numbers(lines, name).astype(values.dtype), values), name
    assert got["agreement"] == totals.mean("agreement")
    assert len(got["measures"]) == 5


def test_compare_where_one_bans(capsys, files):
    p, _, _ = files
    q = p.copy()
    q[9, 3] = q[20, 3] = -np.inf
    np.save("banned.npy", q)
    got = run_json(capsys, "compare", "p.npy", "banned.npy", "--chunk", "4", "--resume", "state")
    assert got["measures"]["kl"] == {"mean": None, "total": None, "largest": None, "largest_row": 9}
    assert run_json(capsys, "compare", "p.npy", "banned.npy", "--resume", "state") == got
    assert got["measures"]["reverse_kl"]["total"] > 0


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", LONG)
def test_text(capsys, command):
    out = run(capsys, *LONG[command], "--nan", "skip")
    assert {"score": "perplexity", "calibrate": "brier score", "compare": "total variation"}[command] in out
    assert "bad" in out
    assert "nan.npy" in out


@pytest.mark.parametrize("command", LONG)
def test_skipped_rows_are_counted_and_left_out(capsys, files, command):
    p, q, targets = files
    got = run_json(capsys, *LONG[command], "--nan", "skip", "--csv", "out.csv", "--chunk", "6")
    good = np.arange(ROWS) != BAD
    np.save("nan.npy", p[good])
    np.save("q.npy", q[good])
    np.save("targets.npy", targets[good])
    without = run_json(capsys, *LONG[command])
    assert (got.pop("rows"), got.pop("skipped")) == (ROWS, 1)
    assert (without.pop("rows"), without.pop("skipped")) == (ROWS - 1, 0)
    assert command == "compare" or got == without
    assert command != "compare" or got["measures"]["kl"]["total"] == without["measures"]["kl"]["total"]
    if command != "calibrate":
        line = table("out.csv")[BAD]
        assert line["status"] == "nan"
        assert {line[name] for name in line if name not in ("row", "target", "status")} == {""}


# ---- refused -------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(files):
    """Files and options that must be refused."""
    p, _, targets = files
    whole = Path("p.npy").read_bytes()
    Path("short.npy").write_bytes(whole[:-40])
    Path("short.npz").write_bytes(Path("both.npz").read_bytes()[:-30])
    Path("ids.txt").write_text("1 two 3")
    Path("ragged.json").write_text("[[1, 2], [3]]")
    np.save("none.npy", np.full(ROWS, -100))
    np.save("big.npy", np.where(np.arange(ROWS) == 30, V, 0))
    np.save("few.npy", targets[:-1])
    np.save("floats.npy", targets * 1.0)
    np.save("empty.npy", p[:0])
    np.save("allnan.npy", p * np.nan)
    np.save("inf.npy", np.where(np.arange(V) == 3, np.inf, p))
    np.save("banned.npy", np.full_like(p, -np.inf))
    np.save("narrow.npy", p[:, :-1])
    Path("blank.txt").write_text(" \n")
    Path("digits.txt").write_text("7" * 5000)
    Path("deep.json").write_text("[" * 100_000)
    os.mkfifo("pipe")
    wide = np.zeros(1, [(f"field_{i}", "f4") for i in range(2000)])
    with warnings.catch_warnings(action="ignore"):  # NumPy warns that the header takes format 2.0
        np.save("header.npy", wide)
        np.savez("header.npz", logits=wide)
    np.savez("escape.npz", **{"\x1b[31mred": p, "b\u202e": p})
    np.savez("member.npz", logits=p)
    with zipfile.ZipFile("member.npz", "a") as archive:
        archive.writestr("notes", "some text")
    np.save("impossible.npy", np.where(np.arange(V) == targets[:, None], -np.inf, p))


T = ["--targets", "targets.npy"]
REFUSED = [
    (["score"], "required"),
    (["score", "p.npy"], "--targets"),
    (["score", "absent.npy", *T], "absent.npy: No such file"),
    (["score", "short.npy", *T], "short.npy: damaged or incomplete"),
    (["score", "short.npz", "--targets", "gold"], "short.npz: damaged or incomplete"),
    (["score", "both.npz", "--targets", "gold"], "no array 'logits'; it holds a, gold, targets (choose with FILE.npz:"),
    (["score", "both.npz:a", "--targets", "truth"], "no array 'truth'; it holds a, gold"),
    (["score", "p.npy", "--targets", "absent"], "absent: No such file"),
    (["score", "p.npy", "--targets", "ids.txt"], "ids.txt: not a list of token ids"),
    (["score", "p.npy", "--targets", "ragged.json"], "ragged.json: must hold token ids"),
    (["score", "p.npy", "--targets", "none.npy"], "none.npy: all 37 targets are -100, which is ignored"),
    (["score", "p.npy", "--targets", "big.npy"], "big.npy: targets[30]: 60 must be in [0, 60)"),
    (["score", "p.npy", *T, "--ignore-index", "-1"], "targets.npy: targets[4]: -100 must be in [0, 60)"),
    (["score", "p.npy", "--targets", "few.npy"], "few.npy: targets must have shape (37,), one per row, got (36,)"),
    (["score", "p.npy", "--targets", "floats.npy"], "floats.npy: targets must be integers"),
    (["score", "empty.npy", *T], "empty.npy: holds no row"),
    (["score", "nan.npy", *T], "nan.npy: row 11: logits contains NaN (--nan skip leaves such rows out)"),
    (["score", "inf.npy", *T], "inf.npy: row 0: logits contains +inf"),
    (["score", "banned.npy", *T], "banned.npy: row 0: logits contains no finite logit"),
    (["score", "allnan.npy", *T, "--nan", "skip"], "no row is left: 35 are bad, 2 ignored"),
    (["score", "p.npy", *T, "--temperature", "0"], "temperature must be"),
    (["score", "p.npy", *T, "--top-n", "-1"], "--top-n must be >= 0"),
    (["score", "p.npy", *T, "--chunk", "0"], "--chunk must be >= 1"),
    (["score", "p.npy", *T, "--bytes", "0"], "--bytes must be >= 1"),
    (["score", "p.npy", *T, "--text", "p.npy"], "p.npy: not a text in UTF-8"),
    (["score", "p.npy", *T, "--text", "absent"], "absent: No such file"),
    (["score", "p.npy", *T, "--text", "blank.txt"], "blank.txt: holds no word"),
    (["score", "p.npy", *T, "--text", "/dev/null"], "/dev/null: must be a file, got a pipe or device; save what it"),
    (["score", "pipe", *T], "pipe: must be a file, got a pipe"),
    (["score", "p.npy", "--targets", "pipe"], "pipe: must be a file, got a pipe"),
    (["score", "p.npy", *T, "--text", "pipe"], "pipe: must be a file, got a pipe"),
    (["score", "p.npy", *T, "--report", "x.html", "--pieces", "pipe"], "pipe: must be a file, got a pipe"),
    (["compare", "p.npy", "pipe"], "pipe: must be a file, got a pipe"),
    (["score", "p.npy", *T, "--csv", "/dev/null", "--resume", "st"], "--csv /dev/null: must name a file, not a device"),
    (["score", "member.npz:notes", *T], "member.npz: notes is not an array, but another file in the archive"),
    (["score", "p.npy", "--targets", "member.npz:notes"], "member.npz: notes is not an array"),
    (["score", "header.npy", *T], "header.npy: its header is too long for an array of numbers"),
    (["score", "header.npz", *T], "header.npz: its header is too long for an array of numbers"),
    (["score", "escape.npz", *T], r"it holds \x1b[31mred, b\u202e (choose"),
    (["score", "p.npy", "--targets", "digits.txt"], "digits.txt: not a list of token ids"),
    (["score", "p.npy", *T, "--report", "x.html", "--pieces", "deep.json"], "deep.json: nested too deep"),
    (["score", "p.npy", *T, "--resume", "/dev/null"], "--resume /dev/null: must name a file, not a device or pipe"),
    (["score", "p.npy", *T, "--text", "ids.txt", "--words", "3"], "leave --words and --bytes out"),
    (["score", "p.npy", *T, "--nan", "maybe"], "invalid choice"),
    (["score", "p.npy", *T, "--csv", "p.npy"], "--csv p.npy: would write over an input of this run"),
    (["score", "p.npy", *T, "--resume", "./targets.npy"], "would write over an input"),
    (["score", "p.npy", *T, "--resume", "x", "--csv", "x"], "would write over --csv of this run"),
    (["score", "p.npy", *T, "--csv", "absent/x.csv"], "in a folder that exists"),
    (["score", "p.npy", *T, "--csv", "."], "in a folder that exists"),
    (["score", "p.npy", *T, "--resume", "ids.txt"], "ids.txt: not a state of a fastlogits run"),
    (["calibrate", "p.npy", *T, "--bins", "0"], "--bins must be >= 1"),
    (["calibrate", "p.npy", *T, "--rule", "mine"], "invalid choice"),
    (["calibrate", "p.npy", "--targets", "none.npy"], "all 37 targets are -100"),
    (["calibrate", "inf.npy", *T], "inf.npy: row 0: logits contains +inf"),
    (["calibrate", "allnan.npy", *T, "--nan", "skip"], "no row is left: 35 are bad, 2 ignored"),
    (["calibrate", "impossible.npy", *T], "logits[0]: the target's logit must be finite, got -inf"),
    (["compare", "p.npy"], "required"),
    (["compare", "p.npy", "narrow.npy"], "p.npy has shape [37, 60], but narrow.npy [37, 59]"),
    (["compare", "p.npy", "nan.npy"], "nan.npy: row 11: logits contains NaN"),
    (["compare", "nan.npy", "p.npy"], "nan.npy: row 11: logits contains NaN"),
    (["compare", "p.npy", "short.npy"], "short.npy: damaged or incomplete"),
    (["compare", "p.npy", "allnan.npy", "--nan", "skip"], "no row is left: all 37 are bad"),
    (["compare", "p.npy", "q.npy", "--beta", "1"], "beta must be one number in (0, 1)"),
    (["compare", "p.npy", "q.npy", "--top-n", "61"], "--top-n must be in [1, 60]"),
    (["compare", "p.npy", "q.npy", "--temperature", "nan"], "temperature must be"),
]


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(("argv", "message"), REFUSED, ids=[" ".join(argv)[:70] for argv, _ in REFUSED])
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_error_is_one_line(capsys, argv, message, as_json):
    before = {path: path.read_bytes() for path in sorted(Path().iterdir()) if path.is_file()}
    assert main([*argv, "--json"] if as_json else argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("fastlogits")
    assert err.count("\n") == 1
    assert {path: path.read_bytes() for path in sorted(Path().iterdir()) if path.is_file()} == before


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("more", [["--temperature", "-1"], ["--chunk", "0"], ["--top-n", "-1"]], ids=" ".join)
def test_bad_options_leave_an_old_csv_alone(more):
    Path("out.csv").write_text("old")
    assert main(["score", "p.npy", *T, "--csv", "out.csv", *more]) == 2
    assert Path("out.csv").read_text() == "old"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.usefixtures("files")
def test_full_disk_is_one_line():
    done = process("score", "p.npy", *T, "--csv", "/dev/full", "--json")
    assert (done.returncode, done.stderr) == (2, b"fastlogits: error: /dev/full: No space left on device\n")
    with open("/dev/full", "wb") as full:
        done = process("score", "p.npy", *T, "--json", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (2, b"fastlogits: error: standard output: No space left on device\n")


@pytest.mark.usefixtures("files")
def test_a_full_disk_names_the_file(capsys, monkeypatch):
    """Wherever the system says so: at a write, when the file is closed, or for the report."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    places = {"out.csv": os.path.abspath("out.csv"), "out.html": "out.html"}
    for module, name, place in (os, "fsync", "out.csv"), (page, "save_report", "out.html"):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, full)
            argv = ["score", "p.npy", *T, "--csv", "out.csv", "--report", "out.html"]
            assert main(argv + ["--resume", "state"] * (module is os)) == 2
        assert capsys.readouterr().err == f"fastlogits: error: {places[place]}: No space left on device\n"


@pytest.mark.usefixtures("files")
def test_names_with_control_characters(capsys):
    """A terminal acts on them, so they are shown as escapes."""
    odd = "odd\x1b[31m\x9b\u202e.npy"
    os.rename("p.npy", odd)
    for argv in (
        ["score", odd, *T],
        ["calibrate", odd, *T],
        ["compare", odd, odd],
        ["explain", odd],
        ["sample", odd, odd],
    ):
        out = run(capsys, *argv)
        assert r"odd\x1b[31m\x9b\u202e" in "".join(out.split())
        assert "\x1b" not in out
    assert screen.Screen().quoted("a\x9b\x1b") == r'"a\x9b\u001b"'


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", LONG)
@pytest.mark.parametrize("option", ["--json", "--csv"])
def test_devices_and_pipes_are_written_into(command, option):
    """They stay what they are: nothing is put in their place."""
    device = Path("device")
    device.symlink_to("/dev/stdout")
    other = [] if option == "--json" else ["--json", "kept.json"]
    done = process(*LONG[command], "--nan", "skip", option, "device", *other)
    assert (done.returncode, done.stderr) == (0, b"")
    assert device.is_symlink()
    assert done.stdout.startswith(b"{" if option == "--json" else b"temperature" if command == "calibrate" else b"row")


@pytest.mark.usefixtures("files")
def test_links_are_followed():
    for name in ("out.json", "out.csv", "out.html", "state"):
        Path(f"real.{name}").touch()
        Path(name).symlink_to(f"real.{name}")
    Path("real.state").unlink()
    more = ["--json", "out.json", "--csv", "out.csv", "--report", "out.html", "--resume", "state"]
    assert main([*LONG["score"], "--nan", "skip", *more]) == 0
    for name in ("out.json", "out.csv", "out.html", "state"):
        assert Path(name).is_symlink()
        assert Path(f"real.{name}").stat().st_size > 9


# ---- around ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", LONG)
def test_progress_on_a_terminal_only(command):
    argv = [*LONG[command], "--nan", "skip", "--json", "--chunk", "3"]
    leader, follower = pty.openpty()
    done = process(*argv, env={"TERM": "xterm", "COLUMNS": "120"}, capture_output=False, stdout=-1, stderr=follower)
    os.close(follower)
    shown = os.read(leader, 1 << 16).decode()
    os.close(leader)
    assert {"score": "scoring", "calibrate": "read 1", "compare": "comparing"}[command] in shown
    assert f"/{ROWS}" in shown
    quiet = process(*argv)
    assert (quiet.stderr, quiet.stdout) == (b"", done.stdout)
    assert json.loads(quiet.stdout)["rows"] == ROWS


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", LONG)
def test_without_rich(command):
    gone = "sys.modules['rich'] = None"
    done = process(*LONG[command], "--nan", "skip", "--csv", "out.csv", code=gone)
    assert done.returncode == 2
    assert b"pip install rich" in done.stderr
    assert not Path("out.csv").exists()
    assert process(*LONG[command], "--nan", "skip", "--json", code=gone).returncode == 0


def test_chunks_hold_64_mib(files):
    class Options:
        chunk = None

    assert inputs.chunk_rows(Options, np.lib.stride_tricks.as_strided(files[0], (9, 128_256), (0, 0))) == 130
    assert inputs.chunk_rows(Options, np.lib.stride_tricks.as_strided(files[0], (9, 1 << 26), (0, 0))) == 1


# ---- files that change --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", LONG)
def test_a_file_cut_while_it_is_read(capsys, monkeypatch, command):
    """Found before the next part is read, where the system would kill the process."""
    advance, size = state.Ledger.advance, os.path.getsize("nan.npy")

    def cutting(*arguments):
        advance(*arguments)
        os.truncate("nan.npy", size - 4)

    monkeypatch.setattr(state.Ledger, "advance", cutting)
    assert main([*LONG[command], "--nan", "skip", "--chunk", "8"]) == 2
    out, err = capsys.readouterr()
    told = f"nan.npy: was cut to {size - 4:,} bytes while it was read, but {size:,} are needed\n"
    assert (out, err) == ("", f"fastlogits: error: {told}")


@pytest.mark.usefixtures("files")
def test_a_file_cut_between_rows(capsys, monkeypatch):
    ask = FileRow.ask

    def cutting(row, question):
        os.truncate("p.npy", 9000 if row.number else 8000)
        return ask(row, question)

    for command in "sample", "explain":
        write_files()
        with monkeypatch.context() as patch:
            patch.setattr(FileRow, "ask", cutting)
            assert main([command, "p.npy"]) == 2
        assert "p.npy: was cut to 8,000 bytes while it was read" in capsys.readouterr().err


@pytest.mark.usefixtures("files")
def test_a_report_of_a_file_that_was_cut(capsys, monkeypatch):
    told = score.told

    def cutting(*arguments):
        os.truncate("p.npy", 8000)
        return told(*arguments)

    monkeypatch.setattr(score, "told", cutting)
    assert main(["score", "p.npy", *T, "--report", "out.html"]) == 2
    assert "p.npy: was cut to 8,000 bytes" in capsys.readouterr().err
    assert not Path("out.html").exists()
