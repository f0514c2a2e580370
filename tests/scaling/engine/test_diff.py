"""The diff engine against numpy and hand-made numbers."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tools.scaling.base.errors import BadInput, Unavailable
from tools.scaling.engine.diff import ULP_MAX, diff, open_device

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA"))]


def f64(*values: float, device: str = "cpu") -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)


@pytest.mark.parametrize("device", DEVICES)
def test_abs_rel_and_ulp_of_known_differences(device):
    found = diff(f64(2.0, -4.0, 0.0, 0.0, 3.0, device=device), f64(2.5, -5.0, 1e-300, 0.0, 3.0, device=device))
    assert found.delta.tolist() == [0.5, -1.0, 1e-300, 0.0, 0.0]
    assert found.abs.tolist() == [0.5, 1.0, 1e-300, 0.0, 0.0]
    assert found.rel.tolist() == [0.25, 0.25, math.inf, 0.0, 0.0]
    assert found.ulp.tolist()[:2] == [2**50, 2**50]
    assert (found.worst, found.max_abs, found.max_rel, found.unequal, found.count_nonfinite) == (
        (2,),
        1.0,
        math.inf,
        3,
        0,
    )


@pytest.mark.parametrize("x", [1.0, -1.0, 0.0, 5e-324, 1e-310, 943654.80923755, -2.8e-07, 1.7976931348623157e308])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_ulp_counts_the_steps_of_numpys_nextafter(x, steps):
    y = x
    for _ in range(steps):
        y = float(np.nextafter(y, -np.inf))
    assert diff(f64(x), f64(y)).ulp.tolist() == [steps]
    assert diff(f64(y), f64(x)).ulp.tolist() == [steps]


def test_ulp_across_zero_and_between_the_extremes():
    tiny, big = 5e-324, 1.7976931348623157e308
    found = diff(f64(0.0, tiny, -tiny, 1.0, -big, big), f64(-0.0, -tiny, tiny, -1.0, big, -big))
    assert found.ulp.tolist() == [0, 2, 2, 2 * 0x3FF0000000000000, ULP_MAX, ULP_MAX]
    assert found.rel.tolist()[0] == 0.0


@given(st.floats(allow_nan=False), st.floats(allow_nan=False))
@settings(max_examples=300, deadline=None)
def test_ulp_is_the_exact_integer_distance(a, b):
    def place(x: float) -> int:
        bits = int(np.float64(x).view(np.int64))
        return bits if bits >= 0 else -(bits & 0x7FFFFFFFFFFFFFFF)

    assert diff(f64(a), f64(b)).ulp.tolist() == [min(abs(place(a) - place(b)), ULP_MAX)]


def test_nan_is_never_equal_and_infinities_are_flagged():
    nan, inf = math.nan, math.inf
    found = diff(f64(nan, 1.0, nan, inf, inf, 1.0), f64(nan, nan, 1.0, inf, -inf, 1.0))
    assert found.nonfinite.tolist() == [True, True, True, True, True, False]
    assert found.ulp.tolist()[:4] == [ULP_MAX, ULP_MAX, ULP_MAX, 0]
    assert [math.isnan(x) for x in found.rel.tolist()] == [True, True, True, False, True, False]
    assert found.abs.tolist()[3] == 0.0 and found.rel.tolist()[3] == 0.0
    assert (found.worst, found.unequal, found.count_nonfinite) == ((0,), 4, 5)


def test_a_norm_replaces_the_reference_in_rel_norm_alone():
    ref, new = f64(3.0, 4.0, 0.0), f64(3.0, 4.0, 5e-12)
    found = diff(ref, new, norm=ref.norm())
    assert found.rel.tolist() == [0.0, 0.0, math.inf]
    assert found.rel_norm.tolist() == [0.0, 0.0, 1e-12]
    assert found.max_rel == 1e-12


def test_float32_is_widened_before_the_difference():
    """1 + 2^-23 and 1 differ by 2^-23 exactly; 16777217 is no float32 and must not become one."""
    a = torch.tensor([1.0, 16777216.0], dtype=torch.float32)
    b = torch.tensor([1.0 + 2.0**-23, 16777216.0], dtype=torch.float32)
    found = diff(a, b)
    assert found.delta.dtype == torch.float64
    assert found.delta.tolist() == [2.0**-23, 0.0]
    assert found.ulp.tolist() == [2**29, 0]
    assert diff(a, f64(1.0, 16777217.0)).delta.tolist() == [0.0, 1.0]
    assert diff(torch.tensor([7], dtype=torch.int32), torch.tensor([8], dtype=torch.uint8)).delta.tolist() == [1.0]


def test_the_worst_index_of_an_image_and_inputs_left_alone():
    ref = torch.rand(20, 30, dtype=torch.float64) + 1.0
    new = ref.clone()
    new[7, 11] *= 1 + 1e-9
    kept = ref.clone(), new.clone()
    found = diff(ref, new.t().contiguous().t())
    assert found.worst == (7, 11)
    assert found.max_rel == pytest.approx(1e-9, rel=1e-6)
    assert torch.equal(ref, kept[0]) and torch.equal(new, kept[1])


def test_no_elements_and_gradients_are_no_trouble():
    found = diff(f64(), f64())
    assert (found.worst, found.max_abs, found.max_ulp, found.unequal) == (None, 0.0, 0, 0)
    scalar = diff(torch.tensor(1.0, requires_grad=True), torch.tensor(2.0))
    assert (scalar.worst, scalar.max_abs, scalar.delta.requires_grad) == ((), 1.0, False)


def test_shapes_and_devices_that_do_not_fit_are_one_line():
    with pytest.raises(BadInput, match=r"^expected a tensor of shape \(2,\) on cpu, got \(1,\) on cpu$"):
        diff(f64(1.0, 2.0), f64(1.0))


def test_a_device_that_is_not_there_is_one_line():
    with pytest.raises(BadInput, match=r"^--device gpu7: expected a device that torch knows, such as cpu or cuda$"):
        open_device("gpu7")
    if not torch.cuda.is_available():
        with pytest.raises(Unavailable, match=r"^--device cuda: not usable for float64 on this machine: [^\n]+$"):
            open_device("cuda")
    with pytest.raises(Unavailable, match=r"^--device mps: not usable for float64 on this machine: [^\n]{,90}$"):
        open_device("mps")
    with pytest.raises(Unavailable, match=r"^--device meta: not usable"):
        open_device("meta")
    assert open_device("cpu") == torch.device("cpu")


def test_a_device_without_float64_is_one_line(monkeypatch):
    """What mps says, which no Linux machine has."""

    def refuse(*_args: object, **_kwargs: object) -> torch.Tensor:
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")

    monkeypatch.setattr(torch.Tensor, "to", refuse)
    with pytest.raises(Unavailable, match=r"^device cpu: the comparison needs float64, which it lacks$"):
        diff(f64(1.0), f64(1.0))
