"""Long runs that are killed or interrupted anywhere end in the bits of a run that was left alone."""

import io
import json
import os
import random
import zlib
from pathlib import Path

import numpy as np
import pytest
from commands import LONG, ROWS, V, process, run_json, write_files

from fastlogits.__main__ import main
from fastlogits._common.exact import ExactSum
from fastlogits.cli import compare, state


@pytest.fixture
def files(tmp_path, monkeypatch):
    """The files of `write_files` in a folder of their own, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return write_files()


KILLED = """
import os, signal
from fastlogits.cli import state
calls, how, last = 0, {how!r}, {last}
replace, append = os.replace, state.Ledger._append

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def counted(source, target):
    global calls
    calls += 1
    if calls == last and how == "before":
        die()
    replace(source, target)
    if calls == last and how == "after":
        die()

def torn(ledger, output):
    if calls + 1 == last and how == "torn" and output and ledger.file:
        append(ledger, output[: len(output) // 2])
        ledger.file.flush()
        die()
    append(ledger, output)

os.replace, state.Ledger._append = counted, torn
"""


def results(*names):
    return [Path(name).read_bytes() for name in names]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", LONG)
def test_killed_and_resumed_is_uninterrupted(command):
    asked = [*LONG[command], "--nan", "skip", "--json", "out.json", "--csv", "out.csv"]
    assert main(asked) == 0
    expected = results("out.json", "out.csv")
    rng = random.Random(command)
    asked += ["--resume", "state", "--chunk", "4"]
    for how in ("torn", "before", "after"):
        Path("state").unlink(missing_ok=True)
        done = process(*asked, code=f"exec({KILLED.format(how=how, last=rng.randint(2, 9))!r}, globals())")
        assert done.returncode == -9, (how, done.stderr)
        assert Path("state").exists()
        assert main(asked) == 0
        assert results("out.json", "out.csv") == expected, how


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", LONG)
@pytest.mark.parametrize("seed", range(4))
def test_interrupted_again_and_again(monkeypatch, command, seed):
    """Ctrl-C at random moments of each run, chunks of another size in each: the bits of a run that was left alone."""
    asked = [*LONG[command], "--nan", "skip", "--json", "out.json", "--csv", "out.csv"]
    assert main(asked) == 0
    expected, rng, left = results("out.json", "out.csv"), random.Random(seed), [0]
    fsync, replace = os.fsync, os.replace

    def stopping(call):
        def stopped(*arguments):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return call(*arguments)

        return stopped

    monkeypatch.setattr(os, "fsync", stopping(fsync))
    monkeypatch.setattr(os, "replace", stopping(replace))
    codes = []
    while not codes or codes[-1]:
        left[0] = rng.randint(4, 14) if len(codes) < 30 else 0
        codes.append(main([*asked, "--resume", "state", "--chunk", str(rng.randint(1, 5))]))
    assert codes.count(130) == len(codes) - 1 >= 1
    assert results("out.json", "out.csv") == expected


@pytest.mark.usefixtures("files")
def test_interruption_says_how_to_go_on(capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(state.Ledger, "advance", stop)
    assert main([*LONG["score"], "--nan", "skip", "--resume", "state"]) == 130
    assert "interrupted behind row 0 of 37; the same command goes on from state" in capsys.readouterr().err


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", LONG)
def test_finished_run_is_not_done_again(capsys, monkeypatch, command):
    asked = [*LONG[command], "--nan", "skip", "--resume", "state"]
    first = run_json(capsys, *asked)
    monkeypatch.setattr(state.Ledger, "advance", None)
    assert run_json(capsys, *asked) == first


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("command", LONG)
def test_bad_row_loses_nothing(capsys, command):
    asked = [*LONG[command], "--csv", "out.csv", "--resume", "state", "--chunk", "4"]
    assert main(asked) == 2
    assert "nan.npy: row 11: logits contains NaN" in capsys.readouterr().err
    assert json.loads(Path("state").read_bytes())["done"] == 8
    assert main([*asked, "--nan", "skip"]) == 0
    once = results("out.csv")
    assert main([*LONG[command], "--csv", "out.csv", "--nan", "skip"]) == 0
    assert results("out.csv") == once
    capsys.readouterr()
    assert main(asked) == 2
    assert "1 bad rows were left out so far: give --nan skip" in capsys.readouterr().err


def edited(path, was, now):
    """One spot of a file changed, its length kept."""
    content = Path(path).read_bytes()
    assert was in content
    Path(path).write_bytes(content.replace(was, now, 1))


def touched():
    os.utime("nan.npy", ns=(0, 0))


def grown():
    np.save("nan.npy", np.zeros((ROWS, V + 1), np.float32))


def retargeted():
    np.save("targets.npy", np.zeros(ROWS, np.int64))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (touched, [], "logits mtime_ns was"),
        (grown, [], "logits size was"),
        (retargeted, [], "targets "),
        (None, ["--temperature", "2"], "options temperature was 1.0, is 2.0"),
        (None, ["--top-n", "3"], "options top_n was 2, is 3"),
        (None, ["--csv", "other.csv"], "options csv was"),
        (lambda: Path("out.csv").write_bytes(b"row"), [], "holds 3 bytes, but the state tells of"),
        (lambda: Path("out.csv").unlink(), [], "out.csv: No such file"),
        (lambda: edited("out.csv", b"ok", b"OK"), [], "out.csv: is not what the state tells of"),
        (lambda: edited("state", b'"skipped": 1', b'"skipped": 2'), [], "not a state of a fastlogits run"),
        (lambda: edited("state", b'"done": 37', b'"done": 33'), [], "not a state of a fastlogits run"),
        (lambda: Path("state").write_bytes(Path("state").read_bytes()[:-9]), [], "not a state of a fastlogits run"),
        (lambda: Path("state").write_text("[1]"), [], "not a state of a fastlogits run"),
        (lambda: Path("state").write_text('{"format": "other"}'), [], "not a state of a fastlogits run"),
        (lambda: Path("state").write_bytes(b"\xff\x00"), [], "not a state of a fastlogits run"),
    ],
)
def test_state_of_another_run(capsys, change, more, message):
    asked = [*LONG["score"], "--nan", "skip", "--csv", "out.csv", "--resume", "state"]
    assert main(asked) == 0
    if change:
        change()
    before = results("state")
    capsys.readouterr()
    assert main([*asked, *more]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert results("state") == before


SUM, NEGATIVE = ["0x0", "0.0"], {"done": -5}
TAMPERED = [
    ("score", NEGATIVE),
    ("score", {"done": 38}),
    ("score", {"done": 35}),
    ("score", {"done": 0}),
    ("score", {"done": 8.0}),
    ("score", {"done": True}),
    ("score", {"length": -1}),
    ("score", {"crc": "0"}),
    ("score", {"totals": None}),
    ("score", {"totals": [1]}),
    *(("score", {"totals": {"tokens": bad}}) for bad in (1, -1, 1.0, "34", None)),
    *(("score", {"totals": {"hits": bad}}) for bad in (35, -1, 1.5, None)),
    *(("score", {"totals": {"logprob": bad}}) for bad in (0, [0, 0.0], ["0x0"], ["zero", "0.0"], ["0x0", 0.0])),
    ("score", {"totals": {"skipped": -1}}),
    ("score", {"totals": {"ranks": "9"}}),
    ("score", {"totals": {"within": 99}}),
    ("compare", NEGATIVE),
    ("compare", {"totals": {"rows": 37}}),
    ("compare", {"totals": {"sums": {"kl": SUM}}}),
    ("compare", {"totals": {"most": {}}}),
    ("compare", {"totals": {"most": {name: ["1.0", 3] for name in ("kl", "js", "x")}}}),
    ("compare", {"totals": {"most": {name: ["1.0", 37] for name in compare.MEASURES}}}),
    ("compare", {"totals": {"most": {name: ["1.0", 2.0] for name in compare.MEASURES}}}),
    ("calibrate", NEGATIVE),
    ("calibrate", {"length": 0, "crc": 0}),
]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("command", "change"), TAMPERED, ids=[f"{command}-{change}"[:60] for command, change in TAMPERED]
)
def test_states_of_wrong_types(capsys, command, change):
    """A checksum keeps out damage, not what somebody wrote: values are checked too."""
    asked = [*LONG[command], "--nan", "skip", "--resume", "state"]
    assert main(asked) == 0
    told = json.loads(Path("state").read_bytes())
    del told["seal"]
    for name, value in change.items():
        told[name] = told[name] | value if isinstance(value, dict) else value
    Path("state").write_text(json.dumps({**told, "seal": state._seal(told)}))
    capsys.readouterr()
    assert main(asked) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "state: not a state of a fastlogits run" in err


@pytest.mark.usefixtures("files")
def test_damaged_records(capsys):
    asked = [*LONG["calibrate"], "--nan", "skip", "--resume", "state"]
    assert main(asked) == 0
    records = bytearray(Path("state.rows").read_bytes())
    records[100] ^= 1
    Path("state.rows").write_bytes(records)
    capsys.readouterr()
    assert main(asked) == 2
    assert "state.rows: is not what the state tells of; delete the state to start anew" in capsys.readouterr().err


def test_checksum_of_a_file_that_shrinks_ends():
    assert state._checksum(io.BytesIO(b"short"), 100) == zlib.crc32(b"short")


@pytest.mark.usefixtures("files")
def test_state_of_another_command(capsys):
    run_json(capsys, "score", "p.npy", "--targets", "targets.npy", "--resume", "state")
    assert main(["calibrate", "p.npy", "--targets", "targets.npy", "--resume", "state"]) == 2
    assert 'command was "score", is "calibrate"' in capsys.readouterr().err


@pytest.mark.usefixtures("files")
def test_one_run_at_a_time(capsys):
    with state.Ledger("state", {}):
        assert main([*LONG["score"], "--resume", "state"]) == 2
        assert "state: another run is at work on this state" in capsys.readouterr().err
        assert Path("state.lock").exists()
    assert not Path("state.lock").exists()
    Path("state.lock").write_text("someone's own")
    run_json(capsys, *LONG["score"], "--nan", "skip", "--resume", "state")
    assert Path("state.lock").read_text() == "someone's own"


WINDOWS = """
import types, fastlogits.calibration, fastlogits.report
sys.platform, sys.modules["fcntl"], held = "win32", None, set()
def locking(descriptor, mode, size):
    import os
    place = os.fstat(descriptor).st_ino
    if place in held:
        raise OSError(13, "Permission denied")
    held.add(place)
sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)"""


@pytest.mark.usefixtures("files")
def test_one_run_at_a_time_on_windows():
    """Windows has no fcntl; this process believes to run there."""
    assert process(*LONG["score"], "--nan", "skip", "--resume", "state", "--json", code=WINDOWS).returncode == 0
    assert not Path("state.lock").exists()
    held = f"{WINDOWS}\nfrom fastlogits.cli import state; lock = state._locked('state.lock')"
    done = process(*LONG["score"], "--nan", "skip", "--resume", "state", "--json", code=held)
    assert done.returncode == 2
    assert b"state: another run is at work on this state" in done.stderr


@pytest.mark.parametrize("values", [[], [-1.5, 2.0**-1074], [np.inf], [np.nan, 1.0], [1e308] * 40])
def test_sums_survive_the_file(values):
    total = ExactSum.of(np.array(values))
    again = state.unpacked(json.loads(json.dumps(state.packed(total))))
    assert again.units == total.units
    assert repr(again.others) == repr(total.others)
