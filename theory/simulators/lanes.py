# pyright: reportMissingParameterType=false
"""Kernels written as vector instructions, eight numbers wide: what an optimiser makes of the loops is far slower.

On narrow matrices the loops' set-up and remainders cost more than their work. Instructions of eight numbers exist on
every machine, because LLVM splits them where registers are narrower; a sum is in the same order on all of them.

Numba does not notice edits here in the cache of the functions that use them.
"""

import math
from typing import Any

from llvmlite import ir
from numba import types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
_DOUBLE, _WORD, _SHORT = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_FUSED = ("contract",)
_LOWEST, _HIGHEST = -708.0, 709.0  # exp neither overflows nor leaves the normal numbers between them
_EXP_TERMS = 14  # the next term is below 5e-18 for |r| <= log(2) / 2
_ARTANH_TERMS = 17  # the next term is below 2e-18 for s <= 1/3
_ROUNDS = 1.5 * 2.0**52  # added to a small number, it leaves the nearest integer in the lowest bits
_LOG2_HIGH, _LOG2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # Cody and Waite's two parts of log 2


def _vector(width: int, kind: Any = _DOUBLE) -> Any:
    return ir.VectorType(kind, width)


def _constant(value: float, kind: Any = _DOUBLE) -> Any:
    return ir.Constant(_vector(LANES, kind), [value] * LANES)


def _choose(builder, a, b, lanes) -> Any:
    """Return the lanes of a and b put side by side that are listed."""
    return builder.shuffle_vector(a, b, ir.Constant(_vector(len(lanes), _SHORT), list(lanes)))


def _data(context, builder, kind, array) -> Any:
    """Return the address of the first number of an array."""
    return cgutils.create_struct_proxy(kind)(context, builder, value=array).data


def _load(builder, address, j, width=LANES) -> Any:
    place = builder.bitcast(builder.gep(address, [j]), _vector(width).as_pointer())
    return builder.load(place, align=8)


def _store(builder, value, address, j) -> None:
    builder.store(value, builder.bitcast(builder.gep(address, [j]), value.type.as_pointer()), align=8)


def _fused(builder, a, b, c) -> Any:
    """Return a * b + c, rounded once where the machine can."""
    return builder.fadd(builder.fmul(a, b, flags=_FUSED), c, flags=_FUSED)


def _for_columns(builder, low, high, body) -> None:
    """Emit ``body(j, width)`` for columns low..high-1: eight at a time, then the last 4, 2 and 1."""
    count = builder.sub(high, low)
    whole = builder.add(low, builder.and_(count, _WORD(-LANES)))
    with cgutils.for_range_slice(builder, low, whole, _WORD(LANES), _WORD) as (j, _):
        body(j, LANES)
    width, place = LANES // 2, whole
    while width:
        here = builder.and_(count, _WORD(width))
        with builder.if_then(builder.icmp_unsigned("!=", here, _WORD(0))):
            body(place, width)
        width, place = width // 2, builder.add(place, here)


@intrinsic
def add_products(
    typing_context,
    values: Any = None,
    starts: Any = None,
    x: Any = None,
    low: Any = None,
    high: Any = None,
    work: Any = None,
    i: Any = None,
):
    """Add to ``work[i + r]`` the product of row r and x over columns low..high-1; with low == 0, set it.

    The rows begin at ``values[starts[r]]``; there are 1, 2, 4 or 8 of them.
    """

    def codegen(context, builder, signature, arguments):
        count = len(signature.args[1])
        values_, starts_, x_, low_, high_, work_, i_ = arguments
        matrix = _data(context, builder, values, values_)
        rows = [builder.gep(matrix, [builder.extract_value(starts_, r)]) for r in range(count)]
        point, sums = _data(context, builder, x, x_), _data(context, builder, work, work_)
        totals = [cgutils.alloca_once_value(builder, _constant(0.0)) for _ in rows]

        def body(j, width):
            part = _load(builder, point, j, width)
            for row, total in zip(rows, totals, strict=True):
                entry, other = _load(builder, row, j, width), part
                if width < LANES:  # zeros beyond the piece
                    wide = [*range(width), *[width] * (LANES - width)]
                    zeros = ir.Constant(_vector(width), [0.0] * width)
                    entry, other = _choose(builder, entry, zeros, wide), _choose(builder, part, zeros, wide)
                builder.store(_fused(builder, entry, other, builder.load(total)), total)

        _for_columns(builder, low_, high_, body)
        parts = [builder.load(total) for total in totals]
        for _ in range(LANES.bit_length() - 1):  # add neighbours until lane r holds the sum of row r
            pairs = list(zip(parts[::2], parts[1::2], strict=True)) if len(parts) > 1 else [(parts[0], parts[0])]
            parts = [
                builder.fadd(
                    _choose(builder, a, b, range(0, 2 * LANES, 2)), _choose(builder, a, b, range(1, 2 * LANES, 2))
                )
                for a, b in pairs
            ]
        found = _choose(builder, parts[0], parts[0], range(count))
        result = cgutils.alloca_once_value(builder, found)
        with builder.if_then(builder.icmp_unsigned("!=", low_, _WORD(0))):
            builder.store(builder.fadd(found, _load(builder, sums, i_, count)), result)
        _store(builder, builder.load(result), sums, i_)
        return context.get_dummy_value()

    return types.void(values, starts, x, uint64, uint64, work, uint64), codegen


@intrinsic
def add_rows(
    typing_context,
    values: Any = None,
    starts: Any = None,
    before: Any = None,
    work: Any = None,
    i: Any = None,
    low: Any = None,
    high: Any = None,
    g: Any = None,
):
    """Add to g the sum of ``work[i + r]`` times row r over columns low..high-1; with before == 0, set it.

    Rows as in `add_products`; ``before`` counts those that g holds already.
    """

    def codegen(context, builder, signature, arguments):
        count = len(signature.args[1])
        values_, starts_, before_, work_, i_, low_, high_, g_ = arguments
        matrix, gradient = _data(context, builder, values, values_), _data(context, builder, g, g_)
        rows = [builder.gep(matrix, [builder.extract_value(starts_, r)]) for r in range(count)]
        first = builder.gep(_data(context, builder, work, work_), [i_])
        slopes = [_load(builder, first, _WORD(r), 1) for r in range(count)]

        fresh = builder.icmp_unsigned("==", before_, _WORD(0))

        def body(j, width):
            zeros = ir.Constant(_vector(width), [0.0] * width)
            held = builder.select(fresh, zeros, _load(builder, gradient, j, width))
            sums = [held, None]  # two chains of additions: half the wait
            for r, (row, slope) in enumerate(zip(rows, slopes, strict=True)):
                entry, factor = _load(builder, row, j, width), _choose(builder, slope, slope, [0] * width)
                other = sums[r % 2]
                sums[r % 2] = builder.fmul(entry, factor) if other is None else _fused(builder, entry, factor, other)
            total = sums[0] if sums[1] is None else builder.fadd(sums[0], sums[1])
            _store(builder, total, gradient, j)

        _for_columns(builder, low_, high_, body)
        return context.get_dummy_value()

    return types.void(values, starts, uint64, work, uint64, uint64, uint64, g), codegen


def _series(builder, terms, x) -> Any:
    """Return the polynomial with these coefficients (ascending) at x, summed in pairs (Estrin)."""
    sums, power = [_constant(term) for term in terms], x
    while len(sums) > 1:
        paired = [_fused(builder, b, power, a) for a, b in zip(sums[::2], sums[1::2], strict=False)]
        sums, power = paired + sums[len(paired) * 2 :], builder.fmul(power, power)
    return sums[0]


def _exponential(builder, z) -> Any:
    """Return exp(z) for z within `_LOWEST` and `_HIGHEST`, beyond them that of the limit; NaN for NaN.

    exp(z) = 2^k exp(r) with |r| <= log(2) / 2.
    """
    for limit, beyond in ((_LOWEST, "<"), (_HIGHEST, ">")):  # a NaN is neither below nor above
        bound = _constant(limit)
        z = builder.select(builder.fcmp_ordered(beyond, z, bound), bound, z)
    rounded = builder.fadd(builder.fmul(z, _constant(1.0 / math.log(2.0))), _constant(_ROUNDS))
    k = builder.fsub(rounded, _constant(_ROUNDS))
    rest = z
    for part in (_LOG2_HIGH, _LOG2_LOW):
        rest = _fused(builder, k, _constant(-part), rest)
    bits = builder.shl(builder.bitcast(rounded, _vector(LANES, _WORD)), _constant(52, _WORD))
    scale = builder.bitcast(builder.add(bits, _constant(1023 << 52, _WORD)), _vector(LANES))
    return builder.fmul(_series(builder, [1.0 / math.factorial(n) for n in range(_EXP_TERMS)], rest), scale)


@intrinsic
def eight_sigmoids(typing_context, work: Any = None, i: Any = None):
    """Replace the eight numbers z from ``work[i]`` on by 1 / (1 + exp(z)): relative error 5e-16, absolute 2e-308."""

    def codegen(context, builder, signature, arguments):
        place, one = _data(context, builder, work, arguments[0]), _constant(1.0)
        total = builder.fadd(one, _exponential(builder, _load(builder, place, arguments[1])))
        _store(builder, builder.fdiv(one, total), place, arguments[1])
        return context.get_dummy_value()

    return types.void(work, uint64), codegen


@intrinsic
def eight_logistic_losses(typing_context, work: Any = None, i: Any = None):
    """Replace the eight numbers z from ``work[i]`` on by log(1 + exp(-z)): relative error 1e-15, absolute 4e-308.

    With u = exp(-|z|): max(0, -z) + log(1 + u), where log(1 + u) = 2 artanh(s), s = u / (2 + u) <= 1/3.
    """

    def codegen(context, builder, signature, arguments):
        place, zero = _data(context, builder, work, arguments[0]), _constant(0.0)
        z = _load(builder, place, arguments[1])
        minus = builder.fsub(zero, z)
        above = builder.fcmp_ordered(">", z, zero)
        u = _exponential(builder, builder.select(above, minus, z))
        s = builder.fdiv(u, builder.fadd(u, _constant(2.0)))
        series = _series(builder, [2.0 / (2 * n + 1) for n in range(_ARTANH_TERMS)], builder.fmul(s, s))
        _store(builder, _fused(builder, s, series, builder.select(above, zero, minus)), place, arguments[1])
        return context.get_dummy_value()

    return types.void(work, uint64), codegen
