"""ONNX Runtime on the CPU, with one thread: graphs of one node or two, written here byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import onnxruntime

from fastlogits.bench.checks import Found
from fastlogits.bench.jobs import Contestant
from fastlogits.bench.peers import Peer
from fastlogits.bench.rows import Inputs

PEER = Peer("onnxruntime", ("onnxruntime",))
OPSET, IR = 18, 8
TYPES = {"float32": 1, "float16": 10, "int64": 7}  # TensorProto.DataType


# ---- protobuf: https://protobuf.dev/programming-guides/encoding, fields of onnx.proto3 -----------------------------


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; negative numbers as 64 bits."""
    value &= (1 << 64) - 1
    digits = []
    while value > 127:
        digits.append(value & 127 | 128)
        value >>= 7
    return bytes([*digits, value])


def number(field: int, value: int) -> bytes:
    """A field that is a number."""
    return varint(field << 3) + varint(value)


def message(field: int, *parts: bytes | str) -> bytes:
    """A field that is a text or a message."""
    body = b"".join(part.encode() if isinstance(part, str) else part for part in parts)
    return varint(field << 3 | 2) + varint(len(body)) + body


def value_info(field: int, name: str, dtype: str) -> bytes:
    """A tensor of any shape that goes into the graph or comes out."""
    return message(field, message(1, name), message(2, message(1, number(1, TYPES[dtype]))))


def node(kind: str, inputs: tuple[str, ...], outputs: tuple[str, ...], **attributes: int) -> bytes:
    """A node with attributes that are integers."""
    attached = [message(5, message(1, name), number(3, value), number(20, 2)) for name, value in attributes.items()]
    return message(1, *(message(1, each) for each in inputs), *(message(2, each) for each in outputs),
                   message(4, kind), *attached)  # fmt: skip


def int64s(name: str, *numbers: int) -> bytes:
    """A constant vector."""
    return message(
        5,
        number(1, len(numbers)),
        number(2, TYPES["int64"]),
        message(8, name),
        message(9, np.array(numbers, np.int64).tobytes()),
    )


def model(dtype: str, nodes: list[bytes], outputs: dict[str, str], constants: list[bytes]) -> bytes:
    """A graph from x to outputs, name: dtype."""
    graph = message(
        7, *nodes, message(2, "work"), *constants, value_info(11, "x", dtype),
        *(value_info(12, name, kind) for name, kind in outputs.items()),
    )  # fmt: skip
    return number(1, IR) + message(8, message(1, ""), number(2, OPSET)) + graph


def session(made: bytes) -> Any:
    """A session of one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(made, options, providers=["CPUExecutionProvider"])


# ---- the ways ------------------------------------------------------------------------------------------------------


def prepared(i: Inputs, nodes: list[bytes], outputs: dict[str, str], *constants: bytes) -> Callable[[], Any]:
    """The call of a graph on the row [1, vocab]."""
    if str(i.x.dtype) not in TYPES:
        raise TypeError(f"NumPy cannot hand over {i.x.dtype}")
    run = session(model(str(i.x.dtype), nodes, outputs, list(constants))).run
    return partial(run, list(outputs), {"x": i.rows[:1]})


def _values(i: Inputs, kind: str) -> Contestant:
    call = prepared(i, [node(kind, ("x",), ("y",), axis=-1)], {"y": str(i.x.dtype)})
    return Contestant(call, lambda: Found(None, call()[0]))


PEER.ways.update(
    {
        "softmax": partial(_values, kind="Softmax"),
        "softmax, float16": partial(_values, kind="Softmax"),
        "log_softmax": partial(_values, kind="LogSoftmax"),
    }
)


@PEER.does("argmax")
def _argmax(i: Inputs) -> Contestant:
    call = prepared(i, [node("ArgMax", ("x",), ("y",), axis=-1, keepdims=0)], {"y": "int64"})
    return Contestant(call, lambda: Found(call()[0].ravel(), None))


@PEER.does("logsumexp")
def _logsumexp(i: Inputs) -> Contestant:
    made = [node("ReduceLogSumExp", ("x", "axes"), ("y",), keepdims=0)]
    call = prepared(i, made, {"y": str(i.x.dtype)}, int64s("axes", -1))
    return Contestant(call, lambda: Found(None, call()[0]))


def _top_k(i: Inputs, k: int) -> Contestant:
    made = [node("TopK", ("x", "k"), ("values", "ids"), axis=-1)]
    call = prepared(i, made, {"values": str(i.x.dtype), "ids": "int64"}, int64s("k", k))

    def result() -> Found:
        top, chosen = call()
        return Found(chosen.ravel(), top.ravel())

    return Contestant(call, result)


PEER.ways.update({f"top_k {k}": partial(_top_k, k=k) for k in (40, 1000)})
