"""The HTML page of a scoring run: complete, self-contained, escaped, and what the figures say."""

from __future__ import annotations

import json
import re
import tracemalloc
from argparse import Namespace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlogits as fl
from fastlogits.__main__ import main
from fastlogits.cli import page
from fastlogits.report import ScoredText, calibration_report, save_report, scoring_report

CONFIDENCES = np.random.default_rng(2).random(300)
DRAWN = CONFIDENCES, np.random.default_rng(3).random(300) < CONFIDENCES
VOID = {"meta", "path", "rect", "circle"}


class Reader(HTMLParser):
    """Checks that tags nest, and keeps text and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.spans: list[dict[str, str | None]] = []
        self.used: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.used.add(tag)
        if tag == "span":
            self.spans.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    return reader


@pytest.fixture
def text() -> ScoredText:
    pieces = ["To", " <b>&amp;", "\n", " 'quoted\"", " end"]
    return ScoredText(
        pieces, [np.nan, -0.05, -3.0, -9.5, -0.5], ranks=[-1, 1, 7, 20_000, 2], entropy=[0, 0.5, 2, 5, 1],
        greedy=[False, True, False, False, False], name="A <text>",
    )  # fmt: skip


@pytest.fixture
def curve() -> Any:
    return fl.reliability_curve(*DRAWN, bins=5)


def test_page_stands_by_itself(text: Any, curve: Any) -> None:
    page = scoring_report(text, curves={"before <1>": curve, "after": curve}, figures={"further & more": 2.5})
    found = read(page)
    assert not found.used & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?://|@import|url\(", page)
    words = "".join(found.words)
    for part in ("A <text>", "before <1>", "further & more", " <b>&amp;", "'quoted\""):
        assert part in words, part
    assert page == scoring_report(text, curves={"before <1>": curve, "after": curve}, figures={"further & more": 2.5})


def test_figures_are_those_of_the_text(text: Any) -> None:
    words = read(scoring_report(text)).words
    score = text.score()
    for name, value in (("perplexity", score.perplexity), ("bits per token", score.bits_per_token), ("tokens", 4)):
        assert words[words.index(name) + 1] == f"{value:,.6g}"
    assert words[words.index("accuracy (token is the likeliest)") + 1] == "0.25"


def test_tokens_carry_levels_and_figures(text: Any) -> None:
    spans = [each for each in read(scoring_report(text)).spans if "title" in each]
    assert len(spans) == 3 * len(text)
    assert [each.get("class") for each in spans[: len(text)]] == [None, "l0", "l5", "l8", "l2"]
    assert [each.get("class") for each in spans[2 * len(text) :]] == [None, "r0", "r3", "r8", "r1"]
    assert spans[3]["title"] == "token 3: log-prob -9.5, entropy 5, rank 20,000"
    assert spans[0]["title"] == "token 0: not scored"


def test_hardest_tokens_come_first(text: Any) -> None:
    page = scoring_report(text, hardest=2)
    rows = re.findall(r"<td class='piece'>.*?<b>(.*?)</b></td><td>(.*?)</td>", page)
    assert [float(value) for _, value in rows] == [-9.5, -3.0]
    assert "The least likely tokens" not in scoring_report(text, hardest=0)


def test_long_texts_are_cut_and_say_so() -> None:
    text = ScoredText(["x"] * 50, np.full(50, -1.0))
    page = scoring_report(text, most_tokens=20)
    assert "30 more tokens are not shown" in page
    assert len([each for each in read(page).spans if "title" in each]) == 20


def test_refused(text: Any, curve: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="ScoredText or a sequence of at least one"):
        scoring_report([])
    with pytest.raises(ValueError, match="hardest must be an integer >= 0, got -1"):
        scoring_report(text, hardest=-1)
    with pytest.raises(ValueError, match="most_tokens must be an integer >= 1, got 0"):
        scoring_report(text, most_tokens=0)
    with pytest.raises(ValueError, match="at most 6, got 7"):
        scoring_report(text, curves={str(i): curve for i in range(7)})
    with pytest.raises(ValueError, match=r"must end in .html or .htm"):
        save_report("x", tmp_path / "page.pdf")
    (tmp_path / "page.html").write_text("old")
    with pytest.raises(OSError, match=r".*"):
        save_report("x", tmp_path / "none" / "page.html")
    save_report("new", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_calibration_page(curve: Any) -> None:
    few = [0.3, 0.35, 1.0], [0, 1, 1]
    given: Any = {"before <1>": curve, "after": fl.reliability_curve(*few, bins=5)}
    page = calibration_report(given, figures={"T & more": [1.0, 1.25], "rows": 7}, title="a <title>")
    assert page == calibration_report(given, figures={"T & more": (1.0, 1.25), "rows": 7}, title="a <title>")
    found = read(page)
    assert not found.used & {"script", "link", "img", "iframe", "object"}
    assert not re.search(r"https?://|@import|url\(", page)
    words = found.words
    errors = [f"{fl.calibration_error(*each, bins=5):.6g}" for each in (DRAWN, few)]
    for name, cells in {
        "T & more": ["1", "1.25"], "rows": ["7", "\n"], "events": ["300", "3"],
        "calibration error over these bins": errors,
    }.items():  # fmt: skip
        assert words[words.index(name) + 1 :][:2] == cells
    assert "".join(words).count("a <title>") == 2
    bins = words[words.index("Bins, after") :]
    assert bins[bins.index("interval") + 1 :][:4] == ["0.200 to 0.400", "2", "0.3250", "0.5000"]
    assert "0.400 to 0.600" not in bins
    assert page.count("<circle") == 5 + 2


def test_calibration_page_of_one_curve(curve: Any) -> None:
    words = read(calibration_report(curve)).words
    assert "Calibration report" in words
    assert "Bins" in words


def test_calibration_page_refused(curve: Any) -> None:
    with pytest.raises(ValueError, match=r"figures\['T'\] must hold one number, or one per curve \(1\), got \[1, 2\]"):
        calibration_report(curve, figures={"T": [1, 2]})
    with pytest.raises(ValueError, match="curves must hold one curve at least"):
        calibration_report({})
    with pytest.raises(ValueError, match="at most 6, got 7"):
        calibration_report({str(i): curve for i in range(7)})


# ---- --report -------------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "logits.npy", (3 * rng.normal(size=(30, 40))).astype(np.float32))
    np.save(tmp_path / "ids.npy", rng.integers(0, 40, 30))
    (tmp_path / "pieces.json").write_text(json.dumps([f" <{i}>" for i in range(40)]))
    return tmp_path


def score(files: Path, *more: str) -> int:
    return main(["score", str(files / "logits.npy"), "--targets", str(files / "ids.npy"), "--json", *more])


def test_report_of_the_command(files: Path, capsys: Any) -> None:
    place = files / "out.html"
    assert score(files, "--report", str(place), "--pieces", str(files / "pieces.json")) == 0
    told = json.loads(capsys.readouterr().out)
    words = read(place.read_text(encoding="utf-8")).words
    assert words[words.index("perplexity") + 1] == f"{told['perplexity']:,.6g}"
    ids = np.load(files / "ids.npy")
    assert f" <{ids[0]}>" in words


@pytest.mark.parametrize("shown", [20_000, 7])
@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("length", [[], ["--text", "text.txt"], ["--bytes", "90"], ["--words", "11"]], ids=str)
def test_report_and_terminal_have_one_source(
    files: Path, capsys: Any, monkeypatch: Any, length: list[str], pieces: bool, shown: int
) -> None:
    """The page shows the numbers of the run, whatever part is shown token by token; none per byte without a text."""
    monkeypatch.chdir(files)
    monkeypatch.setattr(page, "SHOWN", shown)
    Path("text.txt").write_text("The text of these thirty tokens.")
    more = ["--pieces", "pieces.json"] if pieces else []
    assert score(files, "--report", "out.html", *length, *more) == 0
    told = json.loads(capsys.readouterr().out)
    words = read(Path("out.html").read_text(encoding="utf-8")).words
    names = {
        "tokens": "tokens", "log-likelihood (nats)": "loglikelihood", "perplexity": "perplexity",
        "bits per token": "bits_per_token", "bits per byte": "bits_per_byte", "perplexity per word": "word_perplexity",
        "accuracy (token is the likeliest)": "accuracy", "rows": "rows",
    }  # fmt: skip
    for name, field in names.items():
        if told[field] is None:
            assert name not in words
        else:
            assert words[words.index(name) + 1] == f"{told[field]:,.6g}", name
    assert ("First 7 of 30 rows" in words) == (shown == 7)
    assert any(word.startswith("first 7 of 30 rows (ECE") for word in words) == (shown == 7)


@pytest.mark.parametrize("piece", ["\ud800", "a\udfffb"])
def test_report_of_pieces_that_are_no_text(files: Path, capsys: Any, monkeypatch: Any, piece: str) -> None:
    """A lone surrogate, as JSON can hold it, is shown as its escape."""
    monkeypatch.chdir(files)
    Path("odd.json").write_text(json.dumps([piece] * 40 + ["{}"]))
    assert score(files, "--report", "out.html", "--pieces", "odd.json", "--text", "pieces.json") == 0
    assert piece.encode("unicode_escape").decode() in read(Path("out.html").read_text(encoding="utf-8")).words
    made = ScoredText([piece, "b"], [-1.0, -2.0], name=piece)
    assert not made.has_bytes()
    save_report(scoring_report(made), "out.html")
    assert piece.encode("unicode_escape").decode() in Path("out.html").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="text must be valid Unicode, got the lone surrogate"):
        fl.score_text([-1.0], text=piece)


def test_pieces_by_odd_ids(files: Path, monkeypatch: Any) -> None:
    """Keys of an object that are no token ids name nothing."""
    monkeypatch.chdir(files)
    Path("odd.json").write_text(json.dumps({"7": "seven", "\u00b2": "two", "9" * 5000: "many", "-1": "none"}))
    assert page.pieces_of(Namespace(pieces="odd.json")) == {7: "seven"}


def test_report_reads_rows_in_place(tmp_path: Path) -> None:
    """No part of a mapped file is copied into memory."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "logits.npy", rng.normal(size=(300, 20_000)).astype(np.float32))
    np.save(tmp_path / "ids.npy", rng.integers(0, 20_000, 300))
    for command in ("score", "calibrate"):
        asked = [command, str(tmp_path / "logits.npy"), "--targets", str(tmp_path / "ids.npy"), "--json"]
        main([*asked, "--report", str(tmp_path / "out.html")])  # imports what it needs
        tracemalloc.start()
        assert main([*asked, "--report", str(tmp_path / "out.html")]) == 0
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 << 20


def test_report_of_calibrate(files: Path, capsys: Any) -> None:
    page = files / "out.html"
    asked = ["calibrate", str(files / "logits.npy"), "--targets", str(files / "ids.npy"), "--json", "--bins", "4"]
    assert main([*asked, "--report", str(page), "--norm", "l2"]) == 0
    told = json.loads(capsys.readouterr().out)
    words = read(page.read_text(encoding="utf-8")).words
    names = {"calibration error (l2)": "calibration_error", "negative log likelihood": "negative_log_likelihood",
             "temperature": "temperature", "brier score": "brier_score"}  # fmt: skip
    for shown, name in names.items():
        assert words[words.index(shown) + 1 :][:2] == [f"{told[side][name]:,.6g}" for side in ("before", "after")]
    assert words[words.index("events") + 1 :][:2] == ["30", "30"]
    assert {"Bins, before", "Bins, after"} <= set(words)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--report", "x.pdf"], "must end in .html"),
        (["--report", "none/x.html"], "must name a file in a folder that exists"),
        (["--report", "x.html", "--pieces", "none.json"], "No such file"),
        (["--report", "x.html", "--pieces", "ids.npy"], "not JSON in UTF-8"),
    ],
)
def test_report_refused(files: Path, capsys: Any, monkeypatch: Any, more: list[str], words: str) -> None:
    monkeypatch.chdir(files)
    assert score(files, *more) == 2
    out, err = capsys.readouterr()
    assert words in out + err
    assert not (files / "x.html").exists()
