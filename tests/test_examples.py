"""Every example in a docstring runs and prints what it says; the decoding loops of examples/ draw what they should."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import runpy
from types import SimpleNamespace
from typing import Any

import pytest
import rows

import fastlogits
from fastlogits import reference

MODULES = ["fastlogits", *(m.name for m in pkgutil.walk_packages(fastlogits.__path__, "fastlogits."))]

#: Adapters that import only where their client is installed.
CLIENTS = {"fastlogits.torch": "torch", "fastlogits.transformers": "transformers"} | {
    f"fastlogits.bench.peers.{client}": client for client in ("torch", "transformers", "llama_cpp", "onnxruntime")
}


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples(name: str) -> None:
    if name.endswith(".dask"):
        pytest.importorskip("dask.array", reason="dask is not installed: pip install 'dask[array]'")
    if name.startswith("fastlogits.plots."):
        pytest.importorskip("matplotlib", reason="pictures need matplotlib: pip install matplotlib")
    client = CLIENTS.get(name)
    if client is not None:
        pytest.importorskip(client, reason=f"{client} is not installed")
    assert doctest.testmod(importlib.import_module(name), verbose=False).failed == 0


def test_examples_of_sample() -> None:
    """The method that lives in C, which doctest does not find by itself."""
    parsed = doctest.DocTestParser().get_doctest(fastlogits.Sampler.sample.__doc__ or "", {}, "sample", None, 0)
    assert parsed.examples
    assert doctest.DocTestRunner(verbose=False).run(parsed).failed == 0


def example(name: str) -> Any:
    """A file of examples/ as a module."""
    return SimpleNamespace(**runpy.run_path(str(rows.ROOT / "examples" / f"{name}.py")))


def test_continuous_batching(capsys: pytest.CaptureFixture[str]) -> None:
    """Rows join, leave and change places; each text is the one that its request gets alone."""
    there = example("continuous_batching")
    there.main(3)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(there.REQUESTS)
    assert all(", as alone: " in line for line in lines)
    model = there.Model(there.SAMPLE_TEXT)
    texts = [there.together(model, there.REQUESTS, seed) for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]
    assert texts[0][1] == texts[2][1]  # greedy
    for number, request in enumerate(there.REQUESTS):
        assert texts[0][number].startswith(request.prompt)
        assert len(texts[0][number]) == len(request.prompt) + request.length


def test_numpy_transformer(capsys: pytest.CaptureFixture[str]) -> None:
    """The example runs, repeats itself under one seed, and its tokens are those that the reference draws."""
    there = example("numpy_transformer")
    there.main(3)
    assert "ms of it sampling" in capsys.readouterr().out
    sampler = fastlogits.Sampler(temperature=0.8, top_k=20)
    first, again, other = (there.generate(sampler, [5, 6], 12, seed)[0] for seed in (1, 1, 2))
    assert first.tolist() == again.tolist() != other.tolist()
    model = there.Transformer(14)
    for place in range(13):
        logits = model(int(first[place]), place)
        if place:
            drawn = reference.sample(logits, temperature=0.8, top_k=20, rng=1, context=first[: place + 1])
            assert drawn == first[place + 1]


def test_onnxruntime_decode(capsys: pytest.CaptureFixture[str]) -> None:
    """The example runs; its tokens are those that the reference draws from the session's logits."""
    for client in ("onnx", "onnxruntime"):
        pytest.importorskip(client, reason=f"{client} is not installed: pip install onnxruntime==1.32.0 onnx==1.23.2")
    there = example("onnxruntime_decode")
    there.main(3)
    assert "fastlogits: " in capsys.readouterr().out
    model = there.session()
    tokens, _ = there.generate(model, there.after(1), [5, 6], 8)
    assert tokens.tolist() == there.generate(model, there.after(1), [5, 6], 8)[0].tolist()
    assert len(set(there.generate(model, there.before(1), [5, 6], 8)[0].tolist())) > 4
    (logits,) = model.run(["logits"], {"input_ids": tokens[None]})
    keywords = {"repetition_penalty": 1.1, "temperature": 0.8, "top_k": 50, "top_p": 0.95}
    for n in range(2, 10):
        wanted = reference.sample(logits[0, n - 1], context=tokens[:n], rng=1, **keywords)
        assert tokens[n] == wanted
