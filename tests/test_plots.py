"""Pictures: what is drawn is what was computed, the same bytes each time, and clear errors."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastlogits as fl

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
matplotlib.use("Agg")

from matplotlib import pyplot  # noqa: E402

from fastlogits import plots  # noqa: E402
from fastlogits.report.colors import QUANTITIES, SERIES, contrast, ink, luminance  # noqa: E402
from fastlogits.report.curves import ece  # noqa: E402


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Every figure is closed, whatever a test leaves."""
    yield
    pyplot.close("all")


@pytest.fixture
def curve() -> fl.ReliabilityCurve:
    rng = np.random.default_rng(3)
    p = rng.random(400)
    return fl.reliability_curve(p, rng.random(400) < p**2, bins=8)


@pytest.fixture
def text() -> plots.ScoredText:
    pieces = ["The", " old", " light", "house", "\n", " kee", "per", " <&>"]
    return plots.ScoredText(
        pieces, [np.nan, -0.05, -3.2, -0.7, -9.0, -1.5, -0.01, -2.0], entropy=np.linspace(0, 7, 8),
        ranks=[-1, 1, 40, 2, 20_000, 5, 1, 7], greedy=[False, True, False, False, False, False, True, False],
    )  # fmt: skip


# ---- reliability diagram -------------------------------------------------------------------------------------------


def test_points_and_bars_are_those_of_the_curve(curve: Any) -> None:
    ax = plots.reliability_diagram(curve)
    points = ax.containers[0].lines[0].get_xydata()
    held = curve.counts > 0
    np.testing.assert_array_equal(points, np.column_stack([curve.confidences[held], curve.accuracies[held]]))
    (bars,) = ax.containers[0].lines[2]
    low, high = np.array(bars.get_segments())[:, :, 1].T
    np.testing.assert_allclose(low, np.minimum(curve.low[held], curve.accuracies[held]), atol=1e-12)
    np.testing.assert_allclose(high, np.maximum(curve.high[held], curve.accuracies[held]), atol=1e-12)
    (below,) = ax.child_axes
    np.testing.assert_allclose(below.patches[0].get_data().values, curve.counts / curve.counts.sum())
    np.testing.assert_allclose(below.patches[0].get_data().edges, np.linspace(0, 1, 9))


def test_bins_that_do_not_join_and_bins_without_width() -> None:
    """The rule "sklearn" drops empty bins; the last bin of "torchmetrics" is the point 1."""
    sure, true = [0.05, 0.95, 1.0, 1.0], [0, 1, 1, 0]
    below = plots.reliability_diagram(fl.reliability_curve(sure, true, bins=10, rule="sklearn")).child_axes[0]
    assert [(bar.get_x(), bar.get_height()) for bar in below.patches] == [(0.0, 0.25), (0.9, 0.75)]
    below = plots.reliability_diagram(fl.reliability_curve(sure, true, bins=10, rule="torchmetrics")).child_axes[0]
    np.testing.assert_array_equal(below.collections[0].get_segments(), [[[1, 0], [1, 0.5]]])


@pytest.mark.parametrize("size", [10, 16])
def test_nothing_is_cut(curve: Any, size: int) -> None:
    with pyplot.rc_context({"font.size": size}):
        figure = plots.reliability_diagram({"before": curve, "after": curve}).figure
        drawn, page = figure.get_tightbbox(), figure.bbox_inches
    assert page.x0 <= drawn.x0 < drawn.x1 <= page.x1
    assert page.y0 <= drawn.y0 < drawn.y1 <= page.y1


@pytest.mark.parametrize("rule", ["netcal", "torchmetrics", "sklearn"])
def test_error_in_the_legend_is_the_calibration_error(rule: str) -> None:
    rng = np.random.default_rng(4)
    p, true = rng.random(300), rng.random(300) < 0.4
    found = fl.reliability_curve(p, true, rule=rule)
    assert ece(found) == pytest.approx(fl.calibration_error(p, true, rule=rule), abs=1e-12)


def test_names_are_no_formulas(curve: Any) -> None:
    ax = plots.reliability_diagram({r"$\nothing$": curve})
    ax.figure.draw_without_rendering()
    assert ax.get_legend().get_texts()[1].get_text().startswith(r"$\nothing$ (ECE ")


def test_legend_names_curves_and_errors(curve: Any) -> None:
    ax = plots.reliability_diagram({"a $b$": curve, "other": curve})
    error = np.abs(curve.accuracies - curve.confidences) @ curve.counts / curve.counts.sum()
    words = [each.get_text() for each in ax.get_legend().get_texts()]
    assert words == ["calibrated", f"a $b$ (ECE {error:.3f})", f"other (ECE {error:.3f})"]
    assert [c.lines[0].get_color() for c in ax.containers] == list(SERIES[:2])


def test_diagram_on_axes_of_the_caller(curve: Any) -> None:
    _, axes = pyplot.subplots(1, 2)
    assert plots.reliability_diagram(curve, histogram=False, ax=axes[1]) is axes[1]
    assert not axes[1].child_axes
    assert not axes[0].lines
    assert axes[1].get_xlabel() == "confidence (probability)"


def test_diagram_refuses(curve: Any) -> None:
    with pytest.raises(ValueError, match="at least|one curve"):
        plots.reliability_diagram({})
    with pytest.raises(ValueError, match="at most 6, got 7"):
        plots.reliability_diagram({str(i): curve for i in range(7)})
    with pytest.raises(TypeError, match="got int"):
        plots.reliability_diagram(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="ax must be matplotlib Axes"):
        plots.reliability_diagram(curve, ax=3)  # type: ignore[arg-type]


# ---- heat strip ----------------------------------------------------------------------------------------------------


def faces(ax: Any, i: int) -> list[str]:
    return [
        matplotlib.colors.to_hex(c, keep_alpha=False) if c[3] else "none" for c in ax.collections[i].get_facecolor()
    ]


def test_tokens_carry_the_colours_of_their_figures(text: Any) -> None:
    ax = plots.heat_strip(text)
    for i, name in enumerate(("logprobs", "entropy", "ranks")):
        quantity = QUANTITIES[name]
        levels = quantity.levels(text.figures()[name])
        assert faces(ax, i) == ["none" if level < 0 else quantity.ramp[level] for level in levels]
    assert QUANTITIES["ranks"].levels(np.array([1, 2, 3, 10, 11, 10_001, -1])).tolist() == [0, 1, 2, 3, 4, 8, -1]
    assert QUANTITIES["logprobs"].levels(np.array([0.0, -0.1, -8.0, np.nan, -np.inf])).tolist() == [0, 1, 8, -1, 8]


def test_words_are_read_in_order_and_lines_end(text: Any) -> None:
    ax = plots.heat_strip(text, show=["logprobs"])
    words = [each.get_text() for each in ax.texts[: len(text)]]
    assert [w.strip() for w in words if w.strip()][:4] == ["The", "old", "light", "house"]
    assert "<&>" in words
    lines = {round(float(corner.vertices[0, 1])) for corner in ax.collections[0].get_paths()}
    assert len(lines) == 2, "a line feed ends its line"


def test_a_long_token_is_split_over_lines() -> None:
    ax = plots.heat_strip(plots.ScoredText(["x" * 400], [-1.0]))
    assert len(ax.collections[0].get_paths()) > 2
    assert set(faces(ax, 0)) == {QUANTITIES["logprobs"].ramp[3]}


@pytest.mark.parametrize("width", [3, 3.5, 7.5])
@pytest.mark.parametrize("piece", ["xw" * 200, " grandmother" * 40])
def test_words_stay_on_the_page(width: float, piece: str) -> None:
    """In boxes that lie inside the margins, at the resolution of a screen too, where letters are widest."""
    ax = plots.heat_strip(plots.ScoredText([" a", piece, "\n", "end"], -np.ones(4), ranks=[1] * 4), width=width)
    boxes = [path.vertices for path in ax.collections[0].get_paths()]
    assert max(box[:, 0].max() for box in boxes) <= width * 72 - 8
    assert boxes[-1][:, 0].min() == boxes[0][:, 0].min(), "what follows a line feed starts a line"
    assert max(each.get_window_extent().x1 for each in ax.texts) <= ax.figure.bbox.x1
    assert min(each.get_window_extent().y0 for each in ax.texts) >= ax.figure.bbox.y0


def test_ramps_read_without_colour() -> None:
    """Lightness falls from level to level, and words on any level stand out."""
    for quantity in QUANTITIES.values():
        light = [luminance(colour) for colour in quantity.ramp]
        assert all(a > b for a, b in pairwise(light))
        assert min(contrast(colour, ink(colour)) for colour in quantity.ramp) >= 4.5


def test_strip_refuses(text: Any) -> None:
    with pytest.raises(TypeError, match="text must be a ScoredText, got str"):
        plots.heat_strip("abc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="show must be of 'logprobs'"):
        plots.heat_strip(plots.ScoredText(["a"], [-1.0]), show=["entropy"])
    with pytest.raises(ValueError, match=r"width must be in \[3, 100\], got 1"):
        plots.heat_strip(text, width=1)
    _, ax = pyplot.subplots(figsize=(4, 0.5))
    with pytest.raises(ValueError, match="inches high for this text"):
        plots.heat_strip(text, ax=ax)


BAD_TEXTS = [
    (([], []), {}, ValueError, "one token at least"),
    ((["a"], [0.5]), {}, ValueError, r"logprobs\[0\] must be at most 0, got 0.5"),
    ((["a"], [np.nan]), {}, ValueError, "got NaN alone"),
    ((["a", "b"], [-1.0]), {}, ValueError, r"shape \(2,\), got \(1,\)"),
    ((["a"], [-1.0]), {"ranks": [0]}, ValueError, r"ranks\[0\] must be >= 1, got 0"),
    ((["a"], [-1.0]), {"ranks": [1.5]}, TypeError, "ranks must be integers"),
    ((["a"], [-1.0]), {"entropy": [-1.0]}, ValueError, r"entropy\[0\] must be >= 0"),
    ((["a"], [-1.0]), {"best": ["x", "y"]}, ValueError, "best must hold one per piece"),
    (("a", [-1.0]), {}, TypeError, "pieces must be a sequence of str"),
    (([3], [-1.0]), {}, TypeError, r"pieces\[0\] must be a str, got int"),
]


@pytest.mark.parametrize(("given", "named", "error", "words"), BAD_TEXTS)
def test_scored_text_refuses(given: Any, named: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        plots.ScoredText(*given, **named)


def test_scored_text_of_scores() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(5, 30)).astype(np.float32)
    found = fl.token_logprobs(x, [1, 2, -100, 4, 5], rank=True, entropy=True, argmax=True)
    text = plots.ScoredText.of(list("abcde"), found)
    assert text.counted.tolist() == [True, True, False, True, True]
    kept = found.logprobs[[0, 1, 3, 4]].astype(np.float64)
    assert text.score().loglikelihood == pytest.approx(kept.sum(), rel=1e-12)
    assert text.score().perplexity == pytest.approx(np.exp(-kept.mean()), rel=1e-12)


# ---- distributions behind steps ------------------------------------------------------------------------------------


def test_bars_are_the_probabilities_behind_each_step() -> None:
    row = np.array([1.0, 3.0, 2.0, 0.0, -1.0], np.float32)
    sampler = fl.Sampler(temperature=0.5, top_k=2)
    ax = plots.step_distributions(sampler, row, tokens=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["1", "2", "0", "2 others"]
    expected = [fl.softmax(row), fl.softmax(row / 0.5), sampler.probs(row)]
    largest = max(float(p.max()) for p in expected)
    for bars, p in zip(ax.containers, expected, strict=True):
        shown = [*p[[1, 2, 0]], p[[3, 4]].sum()]
        np.testing.assert_allclose(
            [bar.get_width() for bar in bars], np.array(shown) / largest * 0.6, rtol=1e-5, atol=1e-9
        )
    headings = [each.get_text() for each in ax.texts if "\n" in each.get_text()]
    assert headings[0] == "as it came\n5 tokens"
    assert headings[2].startswith("top_k\nrank ≤ 2\n2 left\n")


def test_half_rows_lose_no_token() -> None:
    """Tokens whose probability is none in float16 are alive."""
    ax = plots.step_distributions(fl.Sampler(temperature=2.0), np.linspace(-60, 0, 50).astype(np.float16))
    headings = [each.get_text() for each in ax.texts if "\n" in each.get_text()]
    assert headings == ["as it came\n50 tokens", "temperature\nT = 2\n50 left"]


def test_other_rows_are_not_looked_at() -> None:
    rows = np.array([[np.nan, 1.0], [2.0, 1.0]])
    assert len(plots.step_distributions(fl.Sampler(top_k=1), rows, row=-1).containers) == 2
    with pytest.raises(ValueError, match=r"logits\[0\] contains NaN"):
        plots.step_distributions(fl.Sampler(top_k=1), rows)


def test_crosses_mark_what_a_step_removed() -> None:
    ax = plots.step_distributions(fl.Sampler(top_k=3, min_p=0.5), [3.0, 2.9, 1.0, 0.5, 0.0], tokens=4)
    crosses = [line.get_ydata().tolist() for line in ax.lines if line.get_marker() == "x"]
    assert crosses == [[], [3, 4], [2]]


def test_random_steps_follow_the_seed() -> None:
    """The picture of a random step is that of its seed."""
    row = np.log(np.array([0.4, 0.3, 0.2, 0.1], np.float32))
    sampler = fl.Sampler(xtc_probability=0.5, xtc_threshold=0.25)
    for position in range(6):
        ax = plots.step_distributions(sampler, row, rng=3, position=position)
        alive = sampler.candidates(row, rng=3, position=position).ids.size
        assert any(f"xtc\np ≥ 0.25\n{alive} left" in each.get_text() for each in ax.texts)


def test_pieces_and_bad_rows() -> None:
    ax = plots.step_distributions(fl.Sampler(top_k=1), [1.0, 3.0], pieces={1: " $x$ <b>"})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["“ $x$ <b>”", "0"]
    with pytest.raises(ValueError, match=r"row must be in \[-1, 1\), got 4"):
        plots.step_distributions(fl.Sampler(top_k=1), [1.0, 3.0], row=4)
    with pytest.raises(ValueError, match="contains NaN"):
        plots.step_distributions(fl.Sampler(top_k=1), [1.0, np.nan])
    with pytest.raises(ValueError, match=r"tokens must be an integer in \[1, 100\], got 0"):
        plots.step_distributions(fl.Sampler(top_k=1), [1.0, 3.0], tokens=0)
    with pytest.raises(TypeError, match="sampler must be a Sampler"):
        plots.step_distributions(3, [1.0])  # type: ignore[arg-type]


# ---- files ---------------------------------------------------------------------------------------------------------


def test_saved_files_are_the_same_each_time(curve: Any, text: Any, tmp_path: Path) -> None:
    for kind in ("svg", "png"):
        found = []
        for turn in range(2):
            for name, draw in (
                ("curve", lambda: plots.reliability_diagram(curve)),
                ("text", lambda: plots.heat_strip(text)),
            ):
                plots.save(draw(), tmp_path / f"{name}{turn}.{kind}")
            found.append([(tmp_path / f"{name}{turn}.{kind}").read_bytes() for name in ("curve", "text")])
        assert found[0] == found[1]
        assert found[0][0] != found[0][1]
    root = ElementTree.parse(tmp_path / "curve0.svg").getroot()
    assert root.tag.endswith("svg")
    assert (tmp_path / "text0.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_save_refuses(curve: Any, tmp_path: Path) -> None:
    ax = plots.reliability_diagram(curve)
    with pytest.raises(ValueError, match=r"must end in .png or .svg, got '.*x.pdf'"):
        plots.save(ax, tmp_path / "x.pdf")
    with pytest.raises(ValueError, match="dpi must be > 0, got 0"):
        plots.save(ax, tmp_path / "x.png", dpi=0)
    with pytest.raises(TypeError, match="picture must be matplotlib Axes or a Figure, got int"):
        plots.save(3, tmp_path / "x.png")  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_without_matplotlib() -> None:
    """The module is imported all the same; a picture names the extra."""
    code = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "import fastlogits as fl\nfrom fastlogits import plots\n"
        "try:\n    plots.heat_strip(plots.ScoredText(['a'], [-1.0]))\n"
        "except ImportError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "pictures need matplotlib: pip install matplotlib\n"
