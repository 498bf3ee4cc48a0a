"""Masks of xgrammar and llguidance as they are: our results beside what their own functions do to the logits."""

from __future__ import annotations

import json
import runpy
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import rows

import fastlogits as fl

INSTALL = "not installed: pip install xgrammar==0.2.8 llguidance==1.9.1"
NAMES = ("llguidance", "xgrammar")


@pytest.fixture(scope="module")
def example() -> Any:
    """The example, whose engines are the real packages on a vocabulary made on the spot."""
    return SimpleNamespace(**runpy.run_path(str(rows.ROOT / "examples" / "grammar_mask.py")))


def engine(example: Any, name: str) -> Any:
    pytest.importorskip(name, reason=f"{name} is {INSTALL}")
    return example.ENGINES[name](len(example.VOCAB))


def logits_of(shape: tuple[int, ...], seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def theirs(name: str, logits: Any, words: Any) -> Any:
    """The masked logits by the package's own function."""
    masked = logits.copy()
    if name == "llguidance":
        from llguidance.numpy import apply_token_bitmask_inplace

        apply_token_bitmask_inplace(masked, np.asarray(words))
    else:
        import torch
        import xgrammar

        xgrammar.apply_token_bitmask_inplace(torch.from_numpy(masked), torch.as_tensor(np.ascontiguousarray(words)))
    return masked


def same(name: str, logits: Any, words: Any) -> None:
    wanted = theirs(name, logits, words)
    before = np.asarray(words).copy()
    np.testing.assert_array_equal(fl.filter_logits(logits, mask=words), wanted)
    masses = np.exp(wanted - wanted.max(-1, keepdims=True), dtype=np.float64)
    np.testing.assert_allclose(fl.probs(logits, mask=words), masses / masses.sum(-1, keepdims=True), rtol=1e-5)
    for seed in range(5):
        ids = np.atleast_1d(fl.sample(logits, mask=words, rng=seed, top_p=0.9))
        np.testing.assert_array_equal(ids, np.atleast_1d(fl.sample(wanted, rng=seed, top_p=0.9)))
        assert np.isfinite(np.take_along_axis(wanted.reshape(ids.size, -1), ids.reshape(-1, 1), -1)).all()
    np.testing.assert_array_equal(np.asarray(words), before)


@pytest.mark.parametrize("name", NAMES)
def test_masks_of_a_grammar(example: Any, name: str) -> None:
    """Step by step along a text, one row and, of all steps, a batch with a mask for each row."""
    made = engine(example, name)
    v, masks = len(example.VOCAB), []
    for number, token in enumerate(['{"', *"name", '"']):
        made.next_mask()
        same(name, logits_of((v,), number)[None], made.words)
        same(name, logits_of((v,), number), made.words[0])
        masks.append(np.asarray(made.words[0]).copy())
        made.accept(example.VOCAB.index(token))
    assert len({mask.tobytes() for mask in masks}) > 3
    words = np.stack(masks)
    same(name, logits_of((len(masks), v), 9), words)
    same(name, logits_of((len(masks), v), 9), words[::-1])
    if name == "xgrammar":
        import torch

        same(name, logits_of((len(masks), v), 9), torch.from_numpy(words))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("v", [31, 32, 33, 1000, 32_000, 50_257])
def test_masks_of_any_width(name: str, v: int) -> None:
    """Random words, bits above V in the last one too, and padding beyond what the row needs, whatever it holds."""
    pytest.importorskip(name, reason=f"{name} is {INSTALL}")
    rng = np.random.default_rng(v)
    for padding in (0, 1, 5):
        words = rng.integers(-(2**31), 2**31, (3, -(-v // 32) + padding), np.int32)
        words[:, 0] |= 1
        same(name, logits_of((3, v), v), words)
        words[:, -(-v // 32) :] = -1
        same(name, logits_of((3, v), v), words)


def test_masks_that_are_too_short() -> None:
    """llguidance bans what they do not cover, and so do we."""
    pytest.importorskip("llguidance", reason=f"llguidance is {INSTALL}")
    words = np.full((2, 3), -1, np.int32)
    same("llguidance", logits_of((2, 130), 1), words)


@pytest.mark.parametrize("name", NAMES)
def test_allocated_masks(example: Any, name: str) -> None:
    """One Sampler over words that are filled again and again; the texts follow the schema."""
    made = engine(example, name)
    sampler = fl.Sampler(mask=made.words[0])
    for text in ('{"', "n"):
        made.next_mask()
        row = logits_of((len(example.VOCAB),), 3)
        np.testing.assert_array_equal(sampler.filter_logits(row), theirs(name, row[None], made.words)[0])
        made.accept(example.VOCAB.index(text))
    for seed in range(20):
        found = json.loads(example.generate(engine(example, name), seed))
        assert list(found) == example.SCHEMA["required"]
        assert len(found["name"]) <= 12
        assert found["kind"] in ("ship", "lighthouse")
        assert 1000 <= found["year"] <= 9999
        assert type(found["afloat"]) is bool


@pytest.mark.parametrize("name", NAMES)
def test_example(example: Any, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    engine(example, name)
    example.main(name, "3")
    assert capsys.readouterr().out.count("'year': ") == 4
