"""fastlogits bench: what the command shows, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import run, run_json

from fastlogits import plots
from fastlogits.__main__ import main
from fastlogits.bench import comparison, peers, picture, rows, tables
from fastlogits.bench.jobs import JOBS
from fastlogits.bench.peers import Peer

FEW = ("bench", "--vocab", "2000", "--against", "numpy,scipy", "--seconds", "0.001")


def test_text(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = run(capsys, *FEW)
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "…" not in out
    for word in (*JOBS, "numpy", "scipy", "reads", "ulp"):
        assert word in out, word


def test_json(capsys: Any) -> None:
    found = run_json(capsys, *FEW, "--only", "softmax")
    command = " ".join([*FEW[:1], "--against numpy,scipy --vocab 2000 --rows real --dtype float32"])
    assert found["command"] == f"fastlogits {command} --seconds 0.001 --only softmax"
    assert set(found["versions"]) == {"fastlogits", "python", "numpy", "scipy"}
    assert set(found["machine"]) == {"cpu", "isa", "core", "threads", "system"}
    assert found["read_once_seconds"] > 0
    assert [line["job"] for line in found["lines"]] == [name for name in JOBS if "softmax" in name]
    for line in found["lines"]:
        assert [entry["by"] for entry in line["entries"]] == ["fastlogits", "numpy", "scipy"]
        assert line["rounds"] >= 5
        for entry in line["entries"]:
            assert entry["status"] == "same"
            assert entry["seconds"] > 0
            assert entry["ratio"] > 0
            assert entry["ulp"] >= 0


def test_files(capsys: Any, tmp_path: Any) -> None:
    """JSON, Markdown and picture hold the same figures; the table is printed beside them."""
    places = {kind: tmp_path / f"found.{kind}" for kind in ("json", "md", "svg")}
    out = run(capsys, *FEW, "--only", "^(softmax|argmax|chain)$", "--json", places["json"], "--markdown", places["md"],
              "--plot", places["svg"])  # fmt: skip
    assert "reads: multiples" in out
    found, table = json.loads(places["json"].read_text()), places["md"].read_text()
    assert places["svg"].read_text().startswith("<?xml")
    made = report_of(found)
    assert tables.markdown(made) == table
    ax = picture.drawn(made).axes[0]
    widths = [bar.get_width() + bar.get_x() for bar in ax.patches]
    assert widths == pytest.approx([entry["ratio"] for line in found["lines"] for entry in line["entries"]])
    for line in made.lines:
        assert f"| {line.says} |" in table
    plots.save(picture.drawn(made), tmp_path / "again.svg")
    assert (tmp_path / "again.svg").read_bytes() == places["svg"].read_bytes()


def report_of(found: dict[str, Any]) -> comparison.Report:
    """The report that a JSON was made from."""
    lines = [
        comparison.Line(**{**line, "entries": [comparison.Entry(**entry) for entry in line["entries"]]})
        for line in found["lines"]
    ]
    return comparison.Report(**{**found, "lines": lines})


def test_markdown_alone(capsys: Any) -> None:
    out = run(capsys, *FEW, "--only", "argmax", "--markdown")
    assert "\n| | fastlogits | numpy |\n| --- | ---: | ---: |\n| `argmax` | " in out


def test_many_jobs_stand_in_two_columns() -> None:
    entries = [comparison.Entry("fastlogits", "same", ratio=2.0), comparison.Entry("x", "differs", "how")]
    lines = [comparison.Line(str(k), str(k), "float32", 5, entries) for k in range(20)]
    assert [len(column) for column in picture.columns(lines)] == [10, 10]
    assert picture.columns(lines[:3]) == [lines[:3]]
    assert (
        picture.label("`a` few words that are too long for one line") == "a few words that are too\nlong for one line"
    )


def absent(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    load = peers.load

    def without(name: str) -> Peer:
        if name in names:
            raise ImportError(f"No module named {name!r}")
        return load(name)

    monkeypatch.setattr(peers, "load", without)


def test_absent_peers_are_named(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "torch", "transformers", "llama_cpp", "onnxruntime")
    few = ("bench", "--vocab", "2000", "--seconds", "0.001", "--only", "argmax")
    out = run(capsys, *few)
    assert "not installed: torch (pip install torch)" in out
    assert "not installed: llama_cpp (pip install llama-cpp-python)" in out
    found = run_json(capsys, *few)
    assert found["missing"]["onnxruntime"] == "pip install onnxruntime"
    assert "--against numpy,scipy " in found["command"]


def test_an_absent_peer_asked_for_is_an_error(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    absent(monkeypatch, "torch")
    assert main(["bench", "--against", "numpy,torch", "--only", "argmax"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastlogits: error: --against torch: torch cannot be imported (No module named 'torch')")
    assert err.endswith(": pip install torch\n")


def test_a_broken_installation_is_named(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> Peer:
        raise RuntimeError("no shared\nlibrary")

    monkeypatch.setattr(peers, "load", load)
    assert main(["bench", "--against", "llama_cpp"]) == 2
    assert capsys.readouterr().err == (
        "fastlogits: error: --against llama_cpp: llama_cpp cannot be imported (no shared library): "
        "pip install llama-cpp-python\n"
    )


@pytest.mark.parametrize("option", ["--json", "--markdown", "--plot"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str
) -> None:
    monkeypatch.setattr(comparison, "compare", lambda *args, **kwargs: pytest.fail("timed first"))
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "file").write_text("")
    faults = {
        "absent/out.svg": "No such file or directory",
        "folder.svg": "Is a directory",
        "file/x.svg": "Not a directory",
    }
    for place, fault in faults.items():
        assert main([*FEW, option, str(tmp_path / place)]) == 2
        assert capsys.readouterr().err == f"fastlogits: error: {tmp_path / place}: {fault}\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.svg"]


@pytest.mark.parametrize("seconds", ["nan", "inf", "0", "-1", "601"])
def test_seconds_out_of_range(capsys: Any, seconds: str) -> None:
    for more in ([], ["--quick"]):
        assert main(["bench", "--seconds", seconds, *more]) == 2
        assert capsys.readouterr().err == f"fastlogits: error: --seconds must be in (0, 600], got {seconds}\n"


def test_plot_without_matplotlib(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.pyplot", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert main([*FEW, "--plot", "never.svg"]) == 2
    assert "pip install matplotlib" in capsys.readouterr().err


def test_without_bfloat16(capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "bfloat16", lambda: None)
    assert [job.name for job in comparison.Settings(only="softmax,").jobs()] == ["softmax, float16"]
    assert main(["bench", "--dtype", "bfloat16"]) == 2
    assert "--dtype bfloat16 needs ml_dtypes" in capsys.readouterr().err
    assert run_json(capsys, *FEW, "--only", "argmax")["missing"] == {"ml_dtypes, for bfloat16": "pip install ml_dtypes"}


# ---- the README ----------------------------------------------------------------------------------------------------
