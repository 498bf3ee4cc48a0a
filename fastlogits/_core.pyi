from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

F32: Final[int]
F16: Final[int]
BF16: Final[int]
F64: Final[int]
DTYPE_NAMES: Final[dict[int, str]]
BFLOAT16_BITS: Final[np.dtype[np.void]]
TIES_KEEP: Final[int]
STRICT: Final[int]
MEMORY: Final[int]
OUTPUT_ONLY: Final[int]
JOINT: Final[int]
PROMPT: Final[int]
RAW: Final[int]
STEP_IDS: Final[dict[str, int]]
STEP_KINDS: Final[dict[str, str]]
SOFTMAX: Final[int]
LOG_SOFTMAX: Final[int]
LOGSUMEXP: Final[int]
ARGMAX: Final[int]
TOP_K: Final[int]
TRACE_SIZE: Final[int]
TEMPERATURES: Final[int]
MIDDLE: Final[int]
IDLE: Final[int]
PIECE: Final[int]
FORGETS: Final[int]

def known_isas() -> tuple[str, ...]: ...
def compiled_isas() -> tuple[str, ...]: ...
def isas() -> tuple[str, ...]: ...
def isa() -> str: ...
def set_isa(name: str) -> None: ...
def default_threads() -> int: ...
def dtype_code(array: NDArray[Any]) -> int: ...
def dlpack_bfloat16(capsule: object) -> NDArray[np.void] | None: ...
def tensor_array(tensor: Any) -> NDArray[Any] | None: ...
def tensor_call(which: int, tensor: Any, axis: Any, top: int = 1) -> Any: ...
def tensor_logprobs(logits: Any, index: Any) -> Any: ...
def new_tensor(kind: type, shape: tuple[int, ...], code: int) -> tuple[Any, NDArray[Any]] | None: ...
def dense(which: int, x: Any, axis: Any, temperature: Any, out: Any, dtype: Any, threads: Any) -> Any: ...
def argmax(x: Any, axis: Any, threads: Any) -> Any: ...
def top_k(x: Any, k: Any, axis: Any, threads: Any) -> tuple[NDArray[Any], NDArray[np.int64]] | None: ...

@disjoint_base
class Stop:
    def stop(self) -> None: ...

def read_once(x: NDArray[np.float32]) -> float: ...
def exact_sum(values: NDArray[np.float64]) -> tuple[int, float]: ...
def uniform(seed: int, key: int, position: int) -> float: ...

@disjoint_base
class ArrayTask:
    def __new__(
        cls,
        which: int,
        x: NDArray[Any],
        axis: int,
        temperature: NDArray[np.float64] | None = None,
        out: NDArray[Any] | None = None,
        values: NDArray[Any] | None = None,
        ids: NDArray[np.int64] | None = None,
        top: int = 1,
    ) -> Self: ...
    def run(self, begin: int, end: int, stop: Stop | None = None) -> None: ...

@disjoint_base
class BlendTask:
    def __new__(cls, step: Any, arrays: tuple[NDArray[Any], ...], out: NDArray[Any], axis: int) -> Self: ...
    def run(self, begin: int, end: int, stop: Stop | None = None) -> None: ...

@disjoint_base
class ScoresTask:
    def __new__(
        cls,
        x: NDArray[Any],
        temperature: NDArray[np.float64],
        targets: NDArray[np.int64],
        *,
        logprobs: NDArray[np.float64],
        status: NDArray[np.int32],
        given: NDArray[np.int64] | None = None,
        given_logprobs: NDArray[np.float64] | None = None,
        ranks: NDArray[np.int64] | None = None,
        top_ids: NDArray[np.int64] | None = None,
        top_logprobs: NDArray[np.float64] | None = None,
        best: NDArray[np.int64] | None = None,
        entropies: NDArray[np.float64] | None = None,
        varentropies: NDArray[np.float64] | None = None,
        logsumexps: NDArray[np.float64] | None = None,
        margins: NDArray[np.float64] | None = None,
        levels: NDArray[np.float64] | None = None,
        rests: NDArray[np.float64] | None = None,
        whole: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
        sums: NDArray[Any] | None = None,
    ) -> Self: ...
    def run(self, begin: int, end: int, stop: Stop | None = None) -> None: ...

def merge_rows(
    dtype: int,
    temperature: NDArray[np.float64],
    tops: NDArray[np.float64],
    tails: NDArray[np.float64],
    shard_tops: NDArray[np.float64],
    rests: NDArray[np.float64],
    *,
    entropies: NDArray[np.float64] | None = None,
    varentropies: NDArray[np.float64] | None = None,
    whole_entropies: NDArray[np.float64] | None = None,
    whole_varentropies: NDArray[np.float64] | None = None,
    guesses: NDArray[np.float64] | None = None,
    sums: NDArray[Any] | None = None,
    own: NDArray[np.int64] | None = None,
    beside: NDArray[np.float64] | None = None,
) -> None: ...

@disjoint_base
class TemperaturesTask:
    @property
    def tops(self) -> NDArray[np.float64]: ...
    @property
    def ids(self) -> NDArray[np.int64]: ...
    @property
    def tails(self) -> NDArray[np.float64]: ...
    @property
    def means(self) -> NDArray[np.float64]: ...
    @property
    def status(self) -> NDArray[np.int32]: ...
    @property
    def targets_at(self) -> NDArray[np.float64] | None: ...
    def __new__(
        cls, x: NDArray[Any], step: float, power: int, count: int, targets: NDArray[np.int64] | None = None
    ) -> Self: ...
    def run(self, begin: int, end: int, stop: Stop | None = None) -> None: ...

@disjoint_base
class ComparisonTask:
    @property
    def status_a(self) -> NDArray[np.int32]: ...
    @property
    def status_b(self) -> NDArray[np.int32]: ...
    def __new__(
        cls,
        a: NDArray[Any],
        b: NDArray[Any],
        temperature: NDArray[np.float64],
        beta: float,
        *,
        kl: NDArray[np.float64] | None = None,
        reverse_kl: NDArray[np.float64] | None = None,
        js: NDArray[np.float64] | None = None,
        total_variation: NDArray[np.float64] | None = None,
        cross_entropy: NDArray[np.float64] | None = None,
    ) -> Self: ...
    def run(self, begin: int, end: int, stop: Stop | None = None) -> None: ...

def sequence(cls: type[Sequence], *fields: Any) -> Any: ...

@disjoint_base
class Sequence:
    def __new__(cls, made: object, /) -> Self: ...
    @property
    def plan(self) -> Plan: ...
    @property
    def row(self) -> int: ...
    @property
    def vocab(self) -> int: ...
    @property
    def key(self) -> int | None: ...
    @property
    def _named(self) -> bool: ...
    @property
    def _placeholders(self) -> bool: ...
    @property
    def tokens(self) -> NDArray[np.int64]: ...
    @property
    def prompt_length(self) -> int: ...
    @property
    def position(self) -> int: ...
    def _fill(
        self,
        plan: Plan,
        row: int,
        tokens: NDArray[np.int64],
        prompt_length: int,
        key: int | None,
        position: int | None,
        vocab: int,
        memory: tuple[Any, ...] | None = None,
        named: bool = False,
        placeholders: bool = False,
    ) -> None: ...
    def accept(self, token: Any) -> None: ...
    def rollback(self, n: int = 1) -> None: ...
    def copy(self) -> Self: ...
    def _name(self, key: int) -> None: ...
    def _largest(self) -> int: ...
    def _memory(self) -> tuple[Any, ...] | None: ...
    def __len__(self) -> int: ...

@disjoint_base
class Plan:
    @property
    def steps(self) -> tuple[Any, ...]: ...
    @property
    def prepared(self) -> tuple[Any, ...]: ...
    @property
    def beside(self) -> tuple[str, ...]: ...
    @property
    def shape(self) -> tuple[int, ...] | None: ...
    def _fill(
        self, steps: tuple[Any, ...], prepared: tuple[Any, ...], shape: tuple[int, ...] | None, reminders: int = 0
    ) -> None: ...
    def remind(self, context: Any, state: Any, draws: bool) -> None: ...
    @property
    def count(self) -> int: ...
    def remember(self, observed: NDArray[np.float64], memory: NDArray[np.float64]) -> None: ...
    def fits(self, n: int) -> bool: ...
    def run_tensor(
        self, tensor: Any, context: Any, prompt_length: Any, seed: Any, generator: Any = None, column: bool = False
    ) -> Any: ...
    def sample(
        self,
        logits: Any,
        *,
        n: int | None = None,
        replacement: bool = True,
        context: Any = None,
        prompt_length: Any = 0,
        state: Any = None,
        rng: Any = None,
        position: Any = None,
        keys: Any = None,
        out_of_vocab: str = "error",
        logprobs: int | None = None,
        logprobs_mode: str = "processed",
        out: Any = None,
        threads: int | None = None,
        on_error: str = "raise",
        uncond: Any = None,
        amateur: Any = None,
        expert: Any = None,
        anti: Any = None,
    ) -> Any: ...

BESIDE: Final[tuple[str, str, str, str]]

def single(values: NDArray[np.float64], above: bool = False) -> NDArray[np.float32]: ...

@disjoint_base
class PlanTask:
    def __new__(
        cls,
        plan: Plan,
        x: NDArray[Any],
        *,
        context: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int64] | None = None,
        placeholders: bool = False,
        prompt_length: NDArray[np.int64] | None = None,
        states: tuple[Sequence, ...] | None = None,
        mixed: bool = False,
        seed: int | NDArray[np.int64] = 0,
        position: NDArray[np.int64] | None = None,
        keys: NDArray[np.int64] | None = None,
        memory: NDArray[np.float64] | None = None,
        offset: int = 0,
        draws: int = 1,
        distinct: bool = False,
        ids: NDArray[np.int64] | None = None,
        perturbed: NDArray[np.float64] | None = None,
        bases: NDArray[np.float64] | None = None,
        logprobs: NDArray[np.float64] | None = None,
        observed: NDArray[np.float64] | None = None,
        raw_logprobs: NDArray[np.float64] | None = None,
        ranks: NDArray[np.int64] | None = None,
        top_ids: NDArray[np.int64] | None = None,
        top_logprobs: NDArray[np.float64] | None = None,
        probs: NDArray[Any] | None = None,
        logits: NDArray[Any] | None = None,
        counts: NDArray[np.int64] | None = None,
        status: NDArray[np.int32] | None = None,
        trace: NDArray[np.uint8] | None = None,
        beside: tuple[NDArray[Any] | None, ...] = (),
    ) -> Self: ...
    def tell(self, vocab: int) -> None: ...
    @property
    def failures(self) -> list[tuple[int, int, int, float]]: ...
    @property
    def listings(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]]: ...
    def run(self, begin: int, end: int, stop: Stop | None = None) -> None: ...
    def trace(self, row: int) -> tuple[int, int, int, int, float]: ...

NEGATIVE: int
UNDRAWN: int
OF_DRAFT: int

@disjoint_base
class VerifyTask:
    def __new__(
        cls,
        plan: Plan,
        draft_plan: Plan,
        target: NDArray[Any],
        *,
        ids: NDArray[np.int64],
        parents: NDArray[np.int64] | None,
        logits: NDArray[Any] | None,
        probs: NDArray[Any] | None,
        distinct: bool,
        seed: int | NDArray[np.int64],
        accepted: NDArray[np.int64],
        emitted: NDArray[np.int64],
        path: NDArray[np.int64],
        status: NDArray[np.int32] | None,
        beside: tuple[NDArray[Any], ...],
        context: NDArray[np.int64] | None = None,
        offsets: NDArray[np.int64] | None = None,
        placeholders: bool = False,
        prompt_length: NDArray[np.int64] | None = None,
        position: NDArray[np.int64] | None = None,
        keys: NDArray[np.int64] | None = None,
        states: tuple[Sequence, ...] | None = None,
    ) -> Self: ...
    def tell(self, vocab: int) -> None: ...
    @property
    def failures(self) -> list[tuple[int, int, int, float]]: ...
    def run(self, begin: int, end: int, stop: Stop | None = None) -> None: ...
