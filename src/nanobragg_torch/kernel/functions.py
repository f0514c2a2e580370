"""Functions of one number that LLVM turns into code for whole vectors: at most 2 units in the last place off."""

from __future__ import annotations

import math
from typing import Any

from numba import njit, types
from numba.extending import intrinsic

from nanobragg_torch.compiled import kept

TO_NEAREST = 6755399441055744.0  # 1.5 * 2^52: to add and to take away rounds to a whole number
_SINE = (
    -0.16666666666666666, 0.008333333333333316, -0.00019841269841254963, 2.755731921916006e-06,
    -2.505210761659258e-08, 1.605897728629806e-10, -7.643969461442937e-13, 2.7314343517184076e-15,
)  # fmt: skip
_COSINE = (
    0.041666666666666664, -0.001388888888888888, 2.4801587301579848e-05, -2.7557319221567974e-07,
    2.0876756602673155e-09, -1.1470712259633448e-11, 4.7778775065093033e-14, -1.5218586160361567e-16,
)  # fmt: skip
_EXPONENTIAL = (
    0.5, 0.16666666666666666, 0.04166666666666668, 0.008333333333333333, 0.0013888888888879054,
    0.00019841269841263285, 2.480158733649766e-05, 2.755731924725567e-06, 2.7557263219790347e-07,
    2.505207105477011e-08, 2.09181596693241e-09, 1.6086642574672407e-10,
)  # fmt: skip
_PI = (3.141592653589793, 1.2246467991473532e-16, -2.9947698097183397e-33)
_LN2 = (0.6931471805599453, 2.3190468138462996e-17)
_PER_PI, _PER_LN2 = 1 / math.pi, 1 / math.log(2)

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
# Python calls none of these: without what that needs, compilation takes a sixth less.
_INNER: dict[str, Any] = {**_OPTIONS, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
compiled = njit(**_INNER)
inlined = njit(forceinline=True, **_INNER)
merged = njit(inline="always", **_OPTIONS)


def kept_on_disk(function: Any) -> Any:
    """With all that it calls: what Python calls, and nothing else."""
    return kept(njit(cache=True, **_OPTIONS)(function))


def _fma(typing: Any, x: Any, y: Any, z: Any) -> Any:
    """x y + z, rounded once: IEEE 754 defines it, so that every machine has the same bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fma(*arguments)

    return types.float64(types.float64, types.float64, types.float64), generate


def _vectorized(typing: Any) -> Any:
    """The first statement of a function of loops: LLVM compiles it apart, once, and uses the widest vectors that the
    processor has, of which it takes the half by default."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.function.attributes.add("noinline")
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


def _power_of_two(typing: Any, k: Any) -> Any:
    """2^k of a whole number in floating point, k from -1022 to 1023: the bits of k + TO_NEAREST end with those of k."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = context.get_value_type(types.int64)
        shifted = builder.fadd(arguments[0], context.get_constant(types.float64, TO_NEAREST))
        exponent = builder.shl(builder.bitcast(shifted, bits), bits(52))
        return builder.bitcast(builder.add(exponent, bits(1023 << 52)), context.get_value_type(types.float64))

    return types.float64(types.float64), generate


def _unshared(typing: Any) -> Any:
    """A promise that the arrays which a function is given lie apart: there are too many for LLVM to ask at run time."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        for argument in builder.function.args[2:]:  # behind the result and the exception
            if str(argument.type).endswith("*") or str(argument.type) == "ptr":
                argument.add_attribute("noalias")
        return context.get_dummy_value()

    return types.void(), generate


fma: Any = intrinsic(_fma)
unshared: Any = intrinsic(_unshared)
power_of_two: Any = intrinsic(_power_of_two)
vectorized: Any = intrinsic(_vectorized)


@inlined
def less_multiples_of_pi(x):
    """x less the nearest multiple of pi, and that multiple."""
    q = fma(x, _PER_PI, TO_NEAREST) - TO_NEAREST
    return fma(-q, _PI[2], fma(-q, _PI[1], fma(-q, _PI[0], x))), q


@inlined
def sine_near_0(r):
    t = r * r
    s = fma(t, _SINE[7], _SINE[6])
    for i in (5, 4, 3, 2, 1, 0):
        s = fma(t, s, _SINE[i])
    return fma(r * t, s, r)


@inlined
def cosine_near_0(r):
    t = r * r
    c = fma(t, _COSINE[7], _COSINE[6])
    for i in (5, 4, 3, 2, 1, 0):
        c = fma(t, c, _COSINE[i])
    return fma(t * t, c, fma(t, -0.5, 1.0))


@inlined
def sine_up_to_sign(x):
    """sin(x) or -sin(x), |x| up to LARGEST_PHASE: who squares it needs no sign."""
    return sine_near_0(less_multiples_of_pi(x)[0])


@inlined
def exponential(x):
    """exp(x): 0 far below 0, infinite far above."""
    x = -750.0 if x < -750.0 else 720.0 if x > 720.0 else x
    k = fma(x, _PER_LN2, TO_NEAREST) - TO_NEAREST
    r = fma(-k, _LN2[1], fma(-k, _LN2[0], x))
    s = fma(r, _EXPONENTIAL[11], _EXPONENTIAL[10])
    for i in (9, 8, 7, 6, 5, 4, 3, 2, 1, 0):
        s = fma(r, s, _EXPONENTIAL[i])
    value = 1.0 + fma(r * r, s, r)
    half = (k * 0.5 + TO_NEAREST) - TO_NEAREST  # in two steps it may end below the normal numbers
    return value * power_of_two(half) * power_of_two(k - half)


@inlined
def nearest(h):
    """ceil(h - 0.5)."""
    t = h - 0.5
    r = (t + TO_NEAREST) - TO_NEAREST
    return r + 1.0 if r < t else r


@inlined
def floor(x):
    r = (x + TO_NEAREST) - TO_NEAREST
    return r - 1.0 if r > x else r
