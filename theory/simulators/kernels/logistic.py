# pyright: reportMissingParameterType=false
"""Kernels of the logistic loss: its values and slopes for several margins at once.

Numba does not notice edits here or in ``lanes.py`` in the cache of the functions that use them.
"""

import math
from typing import Any

from numba import float64, types, uint64
from numba.extending import intrinsic

from .lanes import DOUBLE, LANES, WORD, apart, constant, copies, data_of, fused, load, store, vector

__all__: list[str] = []  # compiled code, for the simulators alone

AT_ONCE = 2 * LANES  # so many exponentials at once: one waits for itself at every operation
_LOWEST, _HIGHEST = -708.0, 709.0  # exp neither overflows nor leaves the normal numbers between them
_EXP_TERMS = 14  # the next term is below 5e-18 for |r| <= log(2) / 2
_ARTANH_TERMS = 17  # the next term is below 2e-18 for s <= 1/3
_ROUNDS = 1.5 * 2.0**52  # added to a small number, it leaves the nearest integer in the lowest bits
_LOG2_HIGH, _LOG2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # Cody and Waite's two parts of log 2


def _series(builder, terms, x) -> Any:
    """Return the polynomial with these coefficients (ascending) at x, summed in pairs (Estrin)."""
    sums, power = [constant(term) for term in terms], x
    while len(sums) > 1:
        paired = [fused(builder, b, power, a) for a, b in zip(sums[::2], sums[1::2], strict=False)]
        sums, power = paired + sums[len(paired) * 2 :], builder.fmul(power, power)
    return sums[0]


def _exponential(builder, z) -> Any:
    """Return exp(z) for z within `_LOWEST` and `_HIGHEST`, beyond them that of the limit; NaN for NaN.

    exp(z) = 2^k exp(r) with |r| <= log(2) / 2.
    """
    for limit, beyond in ((_LOWEST, "<"), (_HIGHEST, ">")):  # a NaN is neither below nor above
        bound = constant(limit)
        z = builder.select(builder.fcmp_ordered(beyond, z, bound), bound, z)
    rounded = builder.fadd(builder.fmul(z, constant(1.0 / math.log(2.0))), constant(_ROUNDS))
    k = builder.fsub(rounded, constant(_ROUNDS))
    rest = z
    for part in (_LOG2_HIGH, _LOG2_LOW):
        rest = fused(builder, k, constant(-part), rest)
    bits = builder.shl(builder.bitcast(rounded, vector(LANES, WORD)), constant(52, WORD))
    scale = builder.bitcast(builder.add(bits, constant(1023 << 52, WORD)), vector(LANES))
    return builder.fmul(_series(builder, [1.0 / math.factorial(n) for n in range(_EXP_TERMS)], rest), scale)


@intrinsic
def logistic_slopes(typing_context, work: Any = None, i: Any = None, labels: Any = None, scale: Any = None):
    """Replace margins m from ``work[i]`` on by -scale b / (1 + exp(b m)), with the labels b from ``work[labels]`` on.

    There are `AT_ONCE` of them. The relative error is 5e-16 for labels +-1 and scale 1, the absolute one 2e-308.
    """

    def body(builder, margins, labels, scale):
        factor = copies(builder, builder.fsub(DOUBLE(0.0), scale))
        for part in range(0, AT_ONCE, LANES):
            signs, margin = (load(builder, place, WORD(part)) for place in (labels, margins))
            total = builder.fadd(constant(1.0), _exponential(builder, builder.fmul(signs, margin)))
            store(builder, builder.fdiv(builder.fmul(signs, factor), total), margins, WORD(part))

    def codegen(context, builder, signature, arguments):
        first = data_of(context, builder, work, arguments[0])
        margins, signs = (builder.gep(first, [place]) for place in arguments[1:3])
        apart(builder, "logistic_slopes_apart", [margins, signs, arguments[3]], body)
        return context.get_dummy_value()

    return types.void(work, uint64, uint64, float64), codegen


@intrinsic
def logistic_losses(typing_context, work: Any = None, i: Any = None):
    """Replace the numbers z from ``work[i]`` on by log(1 + exp(-z)): relative error 1e-15, absolute 4e-308.

    There are `AT_ONCE` of them. With u = exp(-|z|): max(0, -z) + log(1 + u), where log(1 + u) = 2 artanh(s),
    s = u / (2 + u) <= 1/3.
    """

    def body(builder, numbers):
        zero = constant(0.0)
        for part in range(0, AT_ONCE, LANES):
            z = load(builder, numbers, WORD(part))
            minus = builder.fsub(zero, z)
            above = builder.fcmp_ordered(">", z, zero)
            u = _exponential(builder, builder.select(above, minus, z))
            s = builder.fdiv(u, builder.fadd(u, constant(2.0)))
            series = _series(builder, [2.0 / (2 * n + 1) for n in range(_ARTANH_TERMS)], builder.fmul(s, s))
            store(builder, fused(builder, s, series, builder.select(above, zero, minus)), numbers, WORD(part))

    def codegen(context, builder, signature, arguments):
        numbers = builder.gep(data_of(context, builder, work, arguments[0]), [arguments[1]])
        apart(builder, "logistic_losses_apart", [numbers], body)
        return context.get_dummy_value()

    return types.void(work, uint64), codegen
