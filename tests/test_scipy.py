"""fastlogits.scipy beside scipy.special itself: types, shapes, axes, special values, weights, errors."""

from __future__ import annotations

import builtins
import inspect
import itertools
from typing import Any

import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import fastlogits as fl
import fastlogits.scipy as ours

FUNCTIONS = ("softmax", "log_softmax", "logsumexp")
SPECIAL = (0.0, 1.0, -np.inf, np.inf, np.nan, 800.0, -800.0)
TOLERANCE = {"float16": 3e-3, "float32": 3e-6, "float64": 1e-13}


def both(name: str, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
    with np.errstate(all="ignore"):
        return getattr(ours, name)(*args, **kwargs), getattr(scipy.special, name)(*args, **kwargs)


def check(found: Any, wanted: Any, tolerance: float = 1e-13) -> None:
    """Equal type, shape and kind of container; values within the tolerance, special ones where SciPy has them."""
    assert type(found) is type(wanted)
    assert found.dtype == wanted.dtype
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signature(name: str) -> None:
    def plain(function: Any) -> list[tuple[str, Any, Any]]:
        return [(p.name, p.kind, p.default) for p in inspect.signature(function).parameters.values()]

    assert plain(getattr(ours, name)) == plain(getattr(scipy.special, name))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "int32"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_shapes_and_axes(name: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    for shape in ((5,), (1,), (3, 4), (2, 3, 4), (4, 1, 3)):
        x = (4 * rng.normal(size=shape)).astype(dtype)
        x = x[..., ::-1]
        axes: list[Any] = [None, *range(-len(shape), len(shape))]
        axes += [pair for n in (2, 3) for pair in itertools.permutations(range(len(shape)), n)]
        for axis in axes:
            found, wanted = both(name, x, axis=axis)
            check(found, wanted, TOLERANCE.get(dtype, 1e-13))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_scalars_and_lists(name: str) -> None:
    for x in (3.0, np.float32(2), [1, 2, 3], [[0.5, -1.0]], np.inf, -np.inf, np.nan):
        check(*both(name, x))


def test_keepdims() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    for axis in (None, 0, -1, (0, 2), (2, 1)):
        for weights in (None, np.arange(-4.0, 8.0).reshape(3, 4)):
            for signed in (False, True):
                found, wanted = both("logsumexp", x, axis=axis, b=weights, keepdims=True, return_sign=signed)
                for a, b in zip(found, wanted, strict=True) if signed else ((found, wanted),):
                    check(a, b, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_special_values(dtype: str) -> None:
    for row in itertools.product(SPECIAL, repeat=3):
        x = np.array(row, dtype)
        for name in FUNCTIONS:
            check(*both(name, x), TOLERANCE[dtype])
        found, wanted = both("logsumexp", x, return_sign=True)
        check(found[0], wanted[0], TOLERANCE[dtype])
        check(found[1], wanted[1])


def test_special_values_weighted() -> None:
    """Of numbers whose exponentials do not underflow: there SciPy takes a negative sum for 0."""
    for row in itertools.product((*SPECIAL[:-1], -300.0), repeat=2):
        for weights in itertools.product((0.0, 1.0, -1.0, 2.5, np.inf, np.nan), repeat=2):
            for signed in (False, True):
                found, wanted = both("logsumexp", np.array(row), b=np.array(weights), return_sign=signed)
                for a, b in zip(found, wanted, strict=True) if signed else ((found, wanted),):
                    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=f"{row} {weights}")


@given(
    hnp.arrays(np.float64, (3, 5), elements=st.floats(-50, 50)),
    hnp.arrays(np.float64, (3, 5), elements=st.floats(-5, 5).map(lambda v: round(v, 2))),
)
def test_weights(a: Any, b: Any) -> None:
    """As plain sums do; where terms cancel the error is that of the terms, and of the logarithm's rounding."""
    found, sign = ours.logsumexp(a, axis=1, b=b, return_sign=True)
    for row, weights, value, s in zip(a, b, found, sign, strict=True):
        terms = [w * np.exp(x - row.max()) for w, x in zip(weights, row, strict=True)]
        size = sum(map(abs, terms))
        assert abs(s * np.exp(value - row.max()) - sum(terms)) <= 5e-14 * size


def test_weights_of_other_types() -> None:
    a = np.array([1.0, 2.0], np.float32)
    for b in (np.array([1, 2]), np.array([1.0, -0.5], np.float32), 2.0, [True, False]):
        check(*both("logsumexp", a, b=b), 3e-6)
    check(*both("logsumexp", [[1, 2]], b=[[1], [2]], axis=0))
    check(*both("logsumexp", 1.0, b=[1.0, 2.0]))


def test_more_accurate_than_the_original() -> None:
    x = np.array([17, 0, 0], np.float32)
    assert float(scipy.special.log_softmax(x)[0]) == 0.0
    assert float(ours.log_softmax(x)[0]) == pytest.approx(-8.28e-08, rel=1e-3)


def test_bits_of_the_kernels(isa: str) -> None:
    del isa
    x = np.random.default_rng(1).normal(size=(4, 1000)).astype(np.float32)
    assert np.array_equal(ours.softmax(x, axis=-1), fl.softmax(x))
    assert np.array_equal(ours.log_softmax(x, axis=1), fl.log_softmax(x))
    assert np.array_equal(ours.logsumexp(x, 1), fl.logsumexp(x))
    assert np.array_equal(ours.softmax(x[0]), fl.softmax(x[0]))


def test_small_integers() -> None:
    for dtype in (np.int8, np.int16):
        x = np.array([5, 1, 2], dtype)
        check(*both("softmax", x), 3e-3)
        check(*both("log_softmax", x), 3e-3)
        check(*both("logsumexp", x))


def test_complex_goes_to_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.array([1 + 2j, 3.0])
    check(*both("logsumexp", x))
    check(*both("softmax", x))
    check(*both("logsumexp", x.astype(np.complex64), b=[1, -1], return_sign=False))
    check(*both("log_softmax", np.array([1.0, 2.0], np.longdouble)))
    original = builtins.__import__

    def missing(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("scipy"):
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(ImportError, match="logsumexp of dtype complex128 is left to SciPy: pip install scipy") as error:
        ours.logsumexp(x)
    assert str(error.value.__cause__) == "scipy.special"


def test_empty() -> None:
    check(*both("logsumexp", np.zeros(0)))
    check(*both("logsumexp", np.zeros((3, 0)), axis=1))
    check(*both("logsumexp", np.zeros((0, 3)), axis=1))
    check(*both("softmax", np.zeros((0, 3)), axis=1))
    for name in ("softmax", "log_softmax"):
        with pytest.raises(ValueError, match="at least one value per row"):
            getattr(ours, name)(np.zeros((2, 0)), axis=1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_input(name: str) -> None:
    function = getattr(ours, name)
    with pytest.raises(np.exceptions.AxisError, match="axis"):
        function([1.0, 2.0], axis=1)
    with pytest.raises(ValueError, match="repeated axis"):
        function([[1.0, 2.0]], axis=(0, 0))
    with pytest.raises(TypeError, match="dtype"):
        function(["a", "b"])
    with pytest.raises(TypeError, match="masked"):
        function(np.ma.masked_array([1.0], [True]))
    with pytest.raises(TypeError):
        function(np.array([object()]))


@pytest.mark.parametrize("axis", [True, False, [0], [0, 1], 1.0, "a", (0, True)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_bad_axis(name: str, axis: Any) -> None:
    for x in (np.zeros(3), np.zeros((2, 3), np.float32)):
        with pytest.raises(TypeError, match="axis must be an integer, a tuple of integers or None, got"):
            getattr(ours, name)(x, axis=axis)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_axis_of_a_scalar(name: str) -> None:
    for axis in (None, 0, -1):
        check(*both(name, 2.0, axis=axis))
    for module in (ours, scipy.special):
        for axis in (1, -2, 5):
            with pytest.raises(np.exceptions.AxisError, match="out of bounds"):
                getattr(module, name)(2.0, axis=axis)


def test_no_values() -> None:
    for b in (None, 1.0, [1.0]):
        for module in (ours, scipy.special):
            with pytest.raises(TypeError):
                module.logsumexp(None, b=b)
    with pytest.raises(TypeError, match="a must be an array or a sequence, got None"):
        ours.logsumexp(None, b=1.0)


SHAPES = hnp.array_shapes(max_dims=3, max_side=4)


@given(st.data())
def test_any_call(data: st.DataObject) -> None:
    """Type, shape and value of any call that SciPy takes; where it refuses, so does this one."""
    dtype = data.draw(
        st.sampled_from(["float16", "float32", "float64", "int8", "int32", "uint16", "complex64", "bool"])
    )
    shape = data.draw(SHAPES)
    size = int(np.prod(shape))
    values = data.draw(st.lists(st.integers(-40, 40), min_size=size, max_size=size))
    x = (np.array(values).reshape(shape) / (4 if dtype[0] in "fc" else 1)).astype(dtype)
    number = st.integers(-len(shape), len(shape) - 1)
    axis = data.draw(st.one_of(st.none(), number, st.lists(number, max_size=3).map(tuple)))
    name = data.draw(st.sampled_from(FUNCTIONS))
    call: dict[str, Any] = {}
    if name == "logsumexp":
        call = {"keepdims": data.draw(st.booleans()), "return_sign": data.draw(st.booleans())}
        kind = data.draw(st.sampled_from(["none", "number", "array", "small"]))
        if kind == "number":
            call["b"] = data.draw(st.sampled_from([2, 0.5, -1, True, 1j, np.float32(2), np.float64(3)]))
        elif kind != "none":
            sort = "float16" if kind == "small" else "float64"
            call["b"] = np.array(data.draw(st.lists(st.integers(1, 9), min_size=shape[-1], max_size=shape[-1])), sort)
    # SciPy's softmax and log_softmax subtract the maximum from unsigned integers, which wraps around.
    exact = x.astype(np.float32) if dtype == "uint16" and name != "logsumexp" else x
    try:
        wanted = both_of(scipy.special, name, exact, axis, call)
    except (TypeError, ValueError) as error:
        with pytest.raises(type(error)):
            both_of(ours, name, x, axis, call)
        return
    found = both_of(ours, name, x, axis, call)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        check(one, other, 4 * TOLERANCE.get(str(other.dtype), 2e-5))


def both_of(module: Any, name: str, x: Any, axis: Any, call: dict[str, Any]) -> tuple[Any, ...]:
    """What a call returns, as a tuple."""
    with np.errstate(all="ignore"):
        found = getattr(module, name)(x, axis=axis, **call)
    return found if isinstance(found, tuple) else (found,)


def test_weights_of_the_wrong_shape() -> None:
    with pytest.raises(ValueError, match="broadcast"):
        ours.logsumexp([1.0, 2.0], b=[1.0, 2.0, 3.0])


def test_input_is_left_alone() -> None:
    x = np.array([1.0, np.nan, 3.0])
    b = np.array([1.0, 0.0, 2.0])
    before = x.copy(), b.copy()
    ours.logsumexp(x, b=b)
    ours.softmax(x)
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(b, before[1])
