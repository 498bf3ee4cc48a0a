"""A decoding loop with ONNX Runtime: a small model made on the spot, sampled as it is written in NumPy, then by us.

Needs onnxruntime and onnx (``pip install onnxruntime onnx``); a session over a file of yours takes the place of the
model. Run it with ``python examples/onnxruntime_decode.py [seed]``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

import fastlogits as fl

if TYPE_CHECKING:
    from numpy.typing import NDArray

VOCAB, WIDTH = 32_000, 32
PENALTY, TEMPERATURE, TOP_K, TOP_P = 1.1, 0.8, 50, 0.95
#: Of a row of logits and the tokens before, the next token.
Choice = Callable[["NDArray[np.float32]", "NDArray[np.int64]"], int]


def made_model(seed: int = 0) -> onnx.ModelProto:
    """``input_ids`` [batch, length] to ``logits`` [batch, length, VOCAB]: tanh of the embeddings summed so far."""
    rng = np.random.default_rng(seed)
    weights = {"embedding": rng.normal(size=(VOCAB, WIDTH)), "head": rng.normal(size=(WIDTH, VOCAB)) / 2}
    constants = [numpy_helper.from_array(x.astype(np.float32), name) for name, x in weights.items()]
    constants.append(numpy_helper.from_array(np.array(1), "axis"))
    nodes = [
        helper.make_node("Gather", ["embedding", "input_ids"], ["embedded"]),
        helper.make_node("CumSum", ["embedded", "axis"], ["summed"]),
        helper.make_node("Tanh", ["summed"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "head"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "length", VOCAB])],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def session() -> Any:
    """The model, loaded."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(made_model().SerializeToString(), options, ["CPUExecutionProvider"])


def generate(model: Any, choose: Choice, prompt: list[int], length: int) -> tuple[NDArray[np.int64], float]:
    """The prompt with `length` tokens behind it, and the seconds that choosing them took."""
    tokens = np.zeros(len(prompt) + length, np.int64)
    tokens[: len(prompt)] = prompt
    spent = 0.0
    for n in range(len(prompt), len(tokens)):
        (logits,) = model.run(["logits"], {"input_ids": tokens[None, :n]})
        start = time.perf_counter()
        tokens[n] = choose(logits[0, -1], tokens[:n])
        spent += time.perf_counter() - start
    return tokens, spent


def before(seed: int) -> Choice:
    """As it is written in NumPy."""
    rng = np.random.default_rng(seed)

    def choose(logits: NDArray[np.float32], context: NDArray[np.int64]) -> int:
        ids = np.unique(context)
        logits[ids] = np.where(logits[ids] > 0, logits[ids] / PENALTY, logits[ids] * PENALTY)
        logits = logits / TEMPERATURE
        logits[logits < np.partition(logits, -TOP_K)[-TOP_K]] = -np.inf
        probs = np.exp(logits - logits.max())
        probs /= probs.sum()
        order = np.argsort(-probs)
        sums = np.cumsum(probs[order])
        probs[order[sums - probs[order] >= TOP_P]] = 0
        return int(rng.choice(len(probs), p=probs.astype(np.float64) / probs.sum(dtype=np.float64)))

    return choose


def after(seed: int) -> Choice:
    """By a Sampler, prepared once; the logits stay as they are."""
    sampler = fl.Sampler(repetition_penalty=PENALTY, temperature=TEMPERATURE, top_k=TOP_K, top_p=TOP_P)
    return lambda logits, context: sampler.sample(logits, context=context, rng=seed)


def main(seed: int = 7) -> None:
    """Generate both ways, and tell what each of them took."""
    model, prompt, length = session(), [1, 17, 4242], 32
    for name, choose in ("NumPy", before(seed)), ("fastlogits", after(seed)):
        generate(model, choose, prompt, 4)
        start = time.perf_counter()
        tokens, spent = generate(model, choose, prompt, length)
        whole = (time.perf_counter() - start) / length
        print(f"{name}:", *tokens[-8:].tolist())
        print(f"  {whole * 1e3:.2f} ms a token, {spent / length * 1e3:.3f} ms of it sampling")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
