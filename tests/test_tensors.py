"""torch tensors and DLPack exporters: without a copy, with bfloat16, and with clear refusals."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import rows
from calls import DTYPES, KEYWORDS, everything, values

import fastlogits as fl
import fastlogits._core as _core
from fastlogits._common import inputs as _inputs

# ---- torch and DLPack ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="torch is not installed")


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
def test_torch(isa: str, torch: Any, name: str) -> None:
    x = values((4, 37), {d.name: d for d in DTYPES}[name])
    tensor = torch.tensor(x.astype(np.float64)).to(getattr(torch, name))
    assert rows.same_bits(everything(tensor), everything(x))
    assert rows.same_bits(everything(tensor[1]), everything(x[1]))
    assert rows.same_bits(everything(tensor.T), everything(np.ascontiguousarray(x.T)))
    transposed = tensor.T.contiguous().T
    assert rows.same_bits(everything(transposed), everything(x))
    for call in (fl.softmax, fl.Sampler(**KEYWORDS).probs, fl.Sampler(**KEYWORDS).filter_logits):
        right = call(x)
        for out in (torch.zeros_like(tensor), torch.zeros_like(tensor.T).T, tensor.clone()):
            source = out if out.any() else tensor
            assert call(source, out=out) is out
            assert rows.same_bits(out.to(torch.float64).numpy(), right.astype(np.float64))
    ids = torch.zeros(4, dtype=torch.int64)
    assert fl.sample(tensor, rng=3, out=ids) is ids
    assert ids.tolist() == fl.sample(x, rng=3).tolist()


def test_torch_is_not_copied(torch: Any) -> None:
    for dtype in (torch.float32, torch.bfloat16):
        tensor = torch.zeros(3, 5, dtype=dtype)
        assert _inputs.logits_array("logits", tensor).__array_interface__["data"][0] == tensor.data_ptr()


def test_torch_operands(torch: Any) -> None:
    x = values((2, 40), np.float32)
    ids = [[1, 2, 2], [3, 4, 4]]
    right = fl.filter_logits(x, context=ids, repetition_penalty=1.5, temperature=[0.5, 0.75])
    got = fl.filter_logits(x, context=torch.tensor(ids), repetition_penalty=1.5, temperature=torch.tensor([0.5, 0.75]))
    np.testing.assert_array_equal(got, right)
    words = torch.tensor([[5, 1], [-1, 3]], dtype=torch.int32)
    np.testing.assert_array_equal(fl.filter_logits(x, mask=words), fl.filter_logits(x, mask=words.numpy()))
    assert fl.sample(x, rng=1, keys=torch.tensor([4, 5])).tolist() == fl.sample(x, rng=1, keys=[4, 5]).tolist()


def test_torch_refused(torch: Any) -> None:
    with pytest.raises(TypeError, match=r"logits must not require a gradient; pass logits\.detach\(\)"):
        fl.sample(torch.zeros(3, requires_grad=True))
    with pytest.raises(ValueError, match="x must be in CPU memory, got a tensor on meta"):
        fl.softmax(torch.zeros(3, device="meta"))
    with pytest.raises(TypeError, match="x must be a dense tensor"):
        fl.softmax(torch.zeros(3, 3).to_sparse())
    with pytest.raises(TypeError, match="x must hold float32"):
        fl.softmax(torch.zeros(3, dtype=torch.complex64))
    with pytest.raises(TypeError, match=r"x: dtype torch\.float8_e4m3fn is not supported"):
        fl.softmax(torch.zeros(3, dtype=torch.float8_e4m3fn))
    with pytest.raises(TypeError, match="out must have dtype bfloat16, got float32"):
        fl.softmax(torch.zeros(3, dtype=torch.bfloat16), out=torch.zeros(3))
    with pytest.raises(TypeError, match="out must have dtype float32, got bfloat16"):
        fl.softmax(torch.zeros(3), out=torch.zeros(3, dtype=torch.bfloat16))
    np.testing.assert_allclose(fl.softmax(torch.zeros(4, dtype=torch.int32)), [0.25] * 4)


class Exporter:
    """An object that knows DLPack and nothing else."""

    def __init__(self, tensor: Any, device: tuple[int, int] = (1, 0)) -> None:
        self.tensor, self.device = tensor, device

    def __dlpack__(self, **_: Any) -> Any:
        return self.tensor.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
def test_dlpack(torch: Any, name: str) -> None:
    x = values((4, 37), {d.name: d for d in DTYPES}[name])
    tensor = torch.tensor(x.astype(np.float64)).to(getattr(torch, name))
    assert rows.same_bits(everything(Exporter(tensor)), everything(x))
    assert rows.same_bits(everything(Exporter(tensor.T)), everything(np.ascontiguousarray(x.T)))
    assert rows.same_bits(everything(Exporter(tensor[1:, 3:])), everything(x[1:, 3:]))


def test_dlpack_owns_its_memory(torch: Any) -> None:
    """The imported array keeps the tensor alive, a capsule is read once, and other types are left to NumPy."""
    tensor = torch.arange(1000, dtype=torch.bfloat16)
    capsule = tensor.__dlpack__()
    bits = _core.dlpack_bfloat16(capsule)
    assert bits is not None
    assert bits.__array_interface__["data"][0] == tensor.data_ptr()
    assert not bits.flags.writeable
    assert _core.dlpack_bfloat16(capsule) is None
    kept = bits.view(np.uint16).copy()
    del tensor, capsule
    np.testing.assert_array_equal(bits.view(np.uint16), kept)
    assert _core.dlpack_bfloat16(torch.zeros(3).__dlpack__()) is None
    assert _core.dlpack_bfloat16("no capsule") is None


def test_dlpack_refused(torch: Any) -> None:
    with pytest.raises(ValueError, match=r"x must be in CPU memory, got DLPack device \(2, 0\)"):
        fl.softmax(Exporter(torch.zeros(3), (2, 0)))
    with pytest.raises(TypeError, match="x: "):
        fl.softmax(Exporter(torch.zeros(3, dtype=torch.float8_e4m3fn)))


# ---- without ml_dtypes ---------------------------------------------------------------------------------------------


def test_bfloat16_without_ml_dtypes(torch: Any) -> None:
    """Results are float32; a torch tensor still takes bfloat16 by out=."""
    code = """
import sys
sys.modules["ml_dtypes"] = None
import numpy as np, torch, fastlogits as fl
x = torch.linspace(-2, 2, 40, dtype=torch.bfloat16)
for result in (fl.softmax(x), fl.probs(x), fl.filter_logits(x, top_k=3), fl.top_k(x, 3).values):
    assert result.dtype == np.float32, result.dtype
out = torch.zeros_like(x)
assert fl.softmax(x, out=out) is out
assert abs(fl.softmax(x) - out.float().numpy()).max() < 1e-3
assert fl.top_k(x, 2).values.tolist() == x.flip(0)[:2].tolist()
assert fl.softmax(np.zeros(2), dtype="bfloat16").dtype == np.float32
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16", "float64"])
def test_gradients_are_off(torch: Any, name: str) -> None:
    """Under no_grad and inference_mode a tensor that requires a gradient is any tensor; else an error says so."""
    plain = torch.randn(3, 50).to(getattr(torch, name))
    x = plain.clone().requires_grad_()
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for call in (
                fl.softmax, fl.logsumexp, fl.argmax, lambda x: fl.sample(x, rng=0), lambda x: fl.sample(x[0], rng=0),
                lambda x: fl.probs(x, top_k=3), lambda x: fl.token_logprobs(x, [1, 2, 3]).logprobs,
            ):  # fmt: skip
                np.testing.assert_array_equal(call(x), call(plain))
            fl.softmax(plain, out=(out := torch.empty_like(plain).requires_grad_()))
            np.testing.assert_array_equal(fl.argmax(out), fl.argmax(plain))
    with pytest.raises(
        TypeError, match=r"must not require a gradient; pass x\.detach\(\), or call under torch\.no_grad"
    ):
        fl.softmax(x)
