"""Sine, cosine and exponential of the kernel: how their coefficients come about, and how far off they are."""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext

import numpy as np
import pytest

Function = Callable[[Decimal], Decimal]


def series(x: Decimal, first: Decimal, count: int, step: int) -> Decimal:
    """first (1 -+ x^2 / ((count + 1) (count + 2)) ...): sine of first = x, count = 1; cosine of 1, 0."""
    term = total = first
    while abs(term) > Decimal(10) ** -55:
        term = step * term * x * x / ((count + 1) * (count + 2))
        count, total = count + 2, total + term
    return total


def sine(x: Decimal) -> Decimal:
    return series(x, x, 1, -1)


def cosine(x: Decimal) -> Decimal:
    return series(x, Decimal(1), 0, -1)


def pi() -> Decimal:
    """Newton's step from 53 bits, twice: sin(x) is x's distance from pi."""
    x = Decimal(math.pi)
    return x + sine(x) + sine(x + sine(x))


def interpolated(function: Function, low: Decimal, high: Decimal, count: int) -> list[float]:
    """Coefficients of the polynomial through the `count` Chebyshev nodes of low .. high, by divided differences."""
    nodes = [(low + high) / 2 + (high - low) / 2 * cosine(pi() * (2 * i + 1) / (2 * count)) for i in range(count)]
    differences = [function(node) for node in nodes]
    for order in range(1, count):
        for i in range(count - 1, order - 1, -1):
            differences[i] = (differences[i] - differences[i - 1]) / (nodes[i] - nodes[i - order])
    polynomial = [Decimal(0)] * count
    for node, difference in zip(reversed(nodes), reversed(differences)):
        shifted = [Decimal(0), *polynomial[:-1]]
        polynomial = [s - node * p for s, p in zip(shifted, polynomial)]
        polynomial[0] += difference
    return [float(c) for c in polynomial]


def rest_of_sine(t: Decimal) -> Decimal:
    r = t.sqrt()
    return (sine(r) - r) / (t * r)


def rest_of_cosine(t: Decimal) -> Decimal:
    return (cosine(t.sqrt()) - 1 + t / 2) / (t * t)


def rest_of_exponential(r: Decimal) -> Decimal:
    return (r.exp() - 1 - r) / (r * r)


def test_the_coefficients_are_those_of_interpolation_at_chebyshev_nodes() -> None:
    from nanobragg_torch.kernel import functions

    with localcontext() as context:
        context.prec = 60
        end, half = Decimal("1.5709") ** 2, Decimal("0.3467")
        assert interpolated(rest_of_sine, Decimal(0), end, 8) == list(functions._SINE)
        assert interpolated(rest_of_cosine, Decimal(0), end, 8) == list(functions._COSINE)
        assert interpolated(rest_of_exponential, -half, half, 12) == list(functions._EXPONENTIAL)
        for parts, exact in ((functions._PI, pi()), (functions._LN2, Decimal(2).ln())):
            for part in parts:
                assert part == float(exact)
                exact -= Decimal(part)


def off(ours: np.ndarray, exact: np.ndarray) -> float:
    """The largest distance in units in the last place."""
    return float((np.abs(ours - exact) / np.spacing(np.abs(ours))).max())


def points() -> np.ndarray:
    dice = np.random.default_rng(3)
    wide = dice.uniform(-(2.0**20), 2.0**20, 100_000)
    near = math.pi * np.arange(-5000, 5000) + dice.normal(0, 1e-9, 10_000)
    return np.concatenate((wide, near, math.pi * np.arange(1, 5000), dice.uniform(-2, 2, 100_000)))


@pytest.mark.skipif(np.finfo(np.longdouble).nmant < 63, reason="the exact values are those of a longer double")
def test_at_most_two_units_in_the_last_place_off() -> None:
    from numba import njit

    from nanobragg_torch.kernel.functions import exponential, sine_up_to_sign

    @njit
    def of_all(x, sines, exponentials):  # type: ignore[no-untyped-def]
        for i in range(x.size):
            sines[i], exponentials[i] = sine_up_to_sign(x[i]), exponential(x[i] / 1500.0)

    x = points()
    sines, exponentials = np.empty((2, x.size))
    of_all(x, sines, exponentials)
    assert off(np.abs(sines), np.abs(np.sin(x.astype(np.longdouble)))) <= 2.0
    assert off(exponentials, np.exp((x / 1500.0).astype(np.longdouble))) <= 1.0
    edges = np.array([math.inf, -math.inf, math.nan, 1e4, -1e4, -745.0]) * 1500.0
    sines, exponentials = np.empty((2, edges.size))
    of_all(edges, sines, exponentials)
    assert exponentials.tolist()[:2] == [math.inf, 0.0]
    assert math.isnan(exponentials[2])
    assert exponentials.tolist()[3:] == [math.inf, 0.0, 5e-324]
