"""Tokens drawn from tensors of probabilities or logits, with randomness from a `torch.Generator`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch

from fastlogits._common import seeds as _seeds
from fastlogits.sampling import functions as _functions
from fastlogits.sampling.keywords import Steering, spelled_out
from fastlogits.sampling.on_the_spot import sampler_of
from fastlogits.sampling.sampler import Sampler
from fastlogits.torch._tensors import CODES, fresh, integer, into, memory, operator

if TYPE_CHECKING:
    from torch import Generator, Tensor

_PLAIN = Sampler()
_LEAST = -(2**63)
#: Keywords that the operators have; what else steers is for eager calls.
_COMPILED = ("temperature", "top_k", "top_p", "min_p")


def multinomial(
    input: Tensor,  # noqa: A002
    num_samples: int,
    replacement: bool = False,
    *,
    generator: Generator | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Indices drawn with probabilities proportional to `input`, as `torch.multinomial`.

    Parameters
    ----------
    input : CPU tensor [V] or [B, V] of float32, float16, bfloat16 or float64
        Weights >= 0 of finite sum, which need not be 1; read in place; must not require a gradient.
    num_samples : int >= 1
        How many per row.
    replacement : bool, default False
        Whether an index may be drawn again. False: in the order in which they would be drawn one after the other.
    generator : torch.Generator, optional
        Gives one word of 64 bits per call, the seed. None: torch's default generator, which `torch.manual_seed` sets.
    out : int64 tensor, optional
        Receives the result and is returned.

    Returns
    -------
    int64 Tensor [num_samples] or [B, num_samples]
        Never an index of weight 0.

    Raises
    ------
    ValueError
        Where torch raises RuntimeError: another number of axes, num_samples out of range, a row with a weight that is
        negative or not finite, or whose sum is 0. Further: fewer positive weights than indices to draw without
        replacement; a tensor or generator on another device.
    TypeError
        No tensor, an unsupported dtype, a tensor that requires a gradient, no generator.

    Notes
    -----
    The tokens that `sample` draws from the logarithms of the weights, so ``multinomial(softmax(x, -1), 1)`` is
    ``sample(x)`` but for roundings: a probability is exact within 5e-7 of itself (float64: 1e-15). The indices are not
    those that torch draws from the same generator; the distribution is the same.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.multinomial(torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 0.0]]), 1)
    tensor([[1],
            [0]])
    """
    if torch.compiler.is_compiling() and out is None:
        _refuse_compiled(generator)
        return _multinomial_op(input, num_samples, replacement)
    found = _multinomial(input, num_samples, replacement, generator)
    return found if out is None else into("out", out, found)


@spelled_out
def sample(
    logits: Tensor, *, num_samples: int | None = None, replacement: bool = True, context: Any = None,
    prompt_length: Any = 0, keys: Any = None, out_of_vocab: str = "error", generator: Generator | None = None,
    out: Tensor | None = None, **steering: Unpack[Steering],
) -> Tensor:  # fmt: skip
    """Draw one token, or several, per row of logits: temperature, top-k, top-p and the rest in one or two reads.

    Parameters
    ----------
    logits : CPU tensor [V] or [..., V] of float32, float16, bfloat16 or float64
        Read in place; must not require a gradient.
    num_samples, replacement
        How many tokens of each row, and whether one may come again: n and replacement of `fastlogits.sample`.
    context, prompt_length, keys, out_of_vocab
        As in `fastlogits.sample`.
    **steering
        The keywords of `fastlogits.Sampler`, in its order of work; all off by default.
    generator : torch.Generator, optional
        As in `multinomial`.
    out : int64 tensor, optional
        Receives the result and is returned.

    Returns
    -------
    int64 Tensor [...] or [..., num_samples]

    Raises
    ------
    ValueError, TypeError
        As `fastlogits.sample`; a tensor on another device or that requires a gradient. Under `torch.compile`, keywords
        but temperature, top_k, top_p and min_p, and inputs but the logits and num_samples.

    Notes
    -----
    Every call takes a new seed from the generator, so a loop needs neither ``context`` nor a position to move on.
    Without replacement places that no token is left for hold -1.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.sample(torch.tensor([[0.0, 4.0, 1.0]]), temperature=0.8, top_k=1)
    tensor([1])
    """
    if torch.compiler.is_compiling() and out is None:
        _refuse_compiled(generator, context=context, keys=keys, prompt_length=prompt_length or None)
        return _sample_op(logits, num_samples, replacement, *_compiled(steering))
    seed, sampler = None, sampler_of("sample", steering, rng="generator")
    if num_samples is None and out is None and context is None and keys is None and isinstance(logits, torch.Tensor):
        seed = sampler.run_tensor(logits, None, prompt_length, _seed, generator)
        if isinstance(seed, torch.Tensor):
            return seed
    array = memory("logits", logits)
    rng = _seeds.Seed(lambda: _seed(generator)) if seed is None else seed
    inputs = {"context": context, "prompt_length": prompt_length, "keys": keys, "n": num_samples, "out": out}
    found = sampler.sample(array, replacement=replacement, rng=rng, out_of_vocab=out_of_vocab, **inputs)
    return found if out is not None else _full(np.shape(found), found)


def _full(shape: tuple[int, ...], found: Any) -> Tensor:
    """Token ids as a tensor."""
    tensor, ids = fresh(shape, torch.int64)
    ids[...] = found
    return tensor


@spelled_out
def filter_logits(
    logits: Tensor, *, context: Any = None, prompt_length: Any = 0, out_of_vocab: str = "error",
    out: Tensor | None = None, **steering: Unpack[Steering],
) -> Tensor:  # fmt: skip
    """Processed logits, -inf where removed: top-k and top-p filtering in one or two reads, without a sort.

    Parameters
    ----------
    logits : CPU tensor [V] or [..., V] of float32, float16, bfloat16 or float64
        Read in place; must not require a gradient.
    context, prompt_length, out_of_vocab
        As in `fastlogits.filter_logits`.
    **steering
        The keywords of `fastlogits.Sampler`, in its order of work; all off by default. ``ties="keep"`` has top_k keep
        all that equals the k-th logit, as ``logits < topk(logits, k).values[..., -1:]`` does.
    out : tensor of the shape and dtype of logits, optional
        Receives the result and is returned; may be `logits` itself.

    Returns
    -------
    Tensor
        In the shape and dtype of `logits`.

    Raises
    ------
    ValueError, TypeError
        As `sample`.

    Examples
    --------
    >>> import torch, fastlogits.torch as ft
    >>> ft.filter_logits(torch.tensor([1.0, 3.0, 2.0]), temperature=0.5, top_k=2)
    tensor([-inf, 6., 4.])
    """
    if torch.compiler.is_compiling() and out is None:
        _refuse_compiled(None, context=context, prompt_length=prompt_length or None)
        return _filter_logits_op(logits, *_compiled(steering))
    if out is None and context is None and isinstance(logits, torch.Tensor):
        kept = sampler_of("filter_logits", steering).run_tensor(logits, None, prompt_length, None)
        if kept is not None:
            return kept
    array = memory("logits", logits)
    out = fresh(array.shape, logits.dtype)[0] if out is None else out
    before = {"context": context, "prompt_length": prompt_length, "out_of_vocab": out_of_vocab}
    _functions.filter_logits(array, out=out, **before, **steering)
    return out


class _Word(threading.local):
    """Buffer for one word of 64 bits in each thread."""

    def __init__(self) -> None:
        tensor = torch.empty((), dtype=torch.int64, device="cpu")
        self.fill_and_read = tensor.random_, tensor.numpy().view(np.uint64).item


_word = _Word()


def _seed(generator: Any) -> int:
    """One word of 64 bits of a CPU generator."""
    fill, read = _word.fill_and_read
    if generator is None:
        fill(_LEAST, None)
        return int(read())
    if not isinstance(generator, torch.Generator):
        raise TypeError(f"generator must be a torch.Generator or None, got {type(generator).__name__}")
    if generator.device.type != "cpu":
        raise ValueError(f"generator must be on the CPU, got one on {generator.device}")
    fill(_LEAST, None, generator=generator)
    return int(read())


def _multinomial(x: torch.Tensor, num_samples: int, replacement: bool, generator: Any = None) -> torch.Tensor:
    """The drawn indices."""
    seed = None
    if _one_of_weights(x, num_samples, replacement):
        seed = _PLAIN.run_tensor(_logs(x), None, 0, _seed, generator, True)
        if isinstance(seed, torch.Tensor):
            return seed
    memory("input", x)
    if x.ndim not in (1, 2):
        raise ValueError(f"input must have 1 or 2 axes, got shape {list(x.shape)}")
    integer("num_samples", num_samples)
    if not isinstance(replacement, bool):
        raise TypeError(f"replacement must be True or False, got {replacement!r}")
    most = None if replacement else x.shape[-1]
    if num_samples < 1 or (most is not None and num_samples > most):
        allowed = ">= 1" if most is None else f"in [1, {most}] without replacement"
        raise ValueError(f"num_samples must be {allowed}, got {num_samples}")
    logs, seed = _logs(x), _seed(generator) if seed is None else seed
    try:
        if num_samples == 1:
            return torch.as_tensor(_PLAIN.sample(logs.numpy(), rng=seed)).unsqueeze(-1)
        return torch.from_numpy(_PLAIN.sample(logs.numpy(), n=num_samples, replacement=replacement, rng=seed))
    except ValueError:
        _refuse_weights(x)
        _refuse_few(x, num_samples)
        raise


def _refuse_few(x: torch.Tensor, num_samples: int) -> None:
    """Raises the error of a row with too few weights to draw each once."""
    few = np.argwhere(((x > 0).sum(-1) < num_samples).numpy())
    if len(few):
        row = few[0].tolist()
        raise ValueError(f"input{row or ''} has fewer weights above 0 than num_samples={num_samples}, none is replaced")


def _one_of_weights(x: Any, num_samples: Any, replacement: Any) -> bool:
    """Whether one index is asked for, of what may hold weights by its type and shape."""
    plain = type(num_samples) is int and num_samples == 1 and type(replacement) is bool
    return plain and isinstance(x, torch.Tensor) and x.dtype in CODES and x.ndim in (1, 2) and x.layout is torch.strided


def _logs(x: Any) -> Any:
    """Logarithms, in float32 but for doubles."""
    return (x if x.dtype is torch.float64 or x.dtype is torch.float32 else x.float()).log()


def _refuse_weights(x: torch.Tensor) -> None:
    """Weights must be finite and >= 0, with one above 0 in each row."""
    for place in np.ndindex(x.shape[:-1]):
        row = x[place]
        wrong = row[~((row >= 0) & row.isfinite())]
        if len(wrong) or not row.any():
            what = f"contains {float(wrong[0])}" if len(wrong) else "has no weight above 0"
            raise ValueError(f"input{list(place) or ''} {what}; weights must be finite, >= 0 and of positive sum")


def _refuse_compiled(generator: Any, **inputs: Any) -> None:
    """What operators do not take."""
    given = [name for name, value in {"generator": generator, **inputs}.items() if value is not None]
    if given:
        raise ValueError(f"{given[0]} is not supported under torch.compile")


def _compiled(steering: Any) -> tuple[Any, ...]:
    """The values of the keywords that operators have."""
    for name in steering:
        if name not in _COMPILED:
            raise ValueError(f"{name} is not supported under torch.compile, which takes {', '.join(_COMPILED)}")
    temperature, *cuts = map(steering.get, _COMPILED)
    return (1.0 if temperature is None else temperature, *cuts)


def _multinomial_default(x: torch.Tensor, num_samples: int, replacement: bool) -> torch.Tensor:
    """By torch's default generator."""
    return _multinomial(x, num_samples, replacement)


def _sample(x: torch.Tensor, n: int | None, replacement: bool, *steering: Any) -> torch.Tensor:
    """By torch's default generator."""
    return sample(x, num_samples=n, replacement=replacement, **dict(zip(_COMPILED, steering, strict=True)))


def _filter_logits(
    x: torch.Tensor, temperature: float, top_k: int | None, top_p: float | None, min_p: float | None
) -> torch.Tensor:
    """A new tensor."""
    return filter_logits(x, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)


def _multinomial_fake(x: torch.Tensor, num_samples: int, replacement: bool) -> torch.Tensor:
    return x.new_empty((*x.shape[:-1], num_samples), dtype=torch.int64)


def _sample_fake(x: torch.Tensor, n: int | None, *others: Any) -> torch.Tensor:
    return x.new_empty(x.shape[:-1] if n is None else (*x.shape[:-1], n), dtype=torch.int64)


def _filter_logits_fake(x: torch.Tensor, *others: Any) -> torch.Tensor:
    return x.new_empty(x.shape)


_DRAWS = torch.Tag.nondeterministic_seeded
_multinomial_op = operator(_multinomial_default, _multinomial_fake, _DRAWS)
_SAMPLE = (
    "(Tensor x, SymInt? n, bool replacement, float temperature, SymInt? top_k, float? top_p, float? min_p) -> Tensor"
)
_sample_op = operator(_sample, _sample_fake, _DRAWS, _SAMPLE)
_filter_logits_op = operator(_filter_logits, _filter_logits_fake)
