# pyright: reportMissingParameterType=false
"""Kernels written as vector instructions, eight numbers wide: what an optimiser makes of the loops is far slower.

On narrow matrices the loops' set-up and remainders cost more than their work. Instructions of eight numbers exist on
every machine, because LLVM splits them where registers are narrower; a sum is in the same order on all of them.

Numba does not notice edits here in the cache of the functions that use them.
"""

import math
from typing import Any

from llvmlite import ir
from numba import float64, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

LANES = 8
AHEAD = 8 * LANES  # how many columns before their use rows are asked for
_NOT_AGAIN, _AGAIN = 0, 3  # LLVM's degrees of locality
AT_ONCE = 2 * LANES  # so many exponentials at once: one waits for itself at every operation
_DOUBLE, _WORD, _SHORT = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_FUSED = ("contract",)
_LOWEST, _HIGHEST = -708.0, 709.0  # exp neither overflows nor leaves the normal numbers between them
_EXP_TERMS = 14  # the next term is below 5e-18 for |r| <= log(2) / 2
_ARTANH_TERMS = 17  # the next term is below 2e-18 for s <= 1/3
_ROUNDS = 1.5 * 2.0**52  # added to a small number, it leaves the nearest integer in the lowest bits
# lanes of two vectors side by side whose sums are those of neighbours, and then of neighbouring pairs
_TWOS = ((0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15))
_FOURS = ((0, 1, 4, 5, 8, 9, 12, 13), (2, 3, 6, 7, 10, 11, 14, 15))
_LOG2_HIGH, _LOG2_LOW = 0.693147180369123816490, 1.90821492927058770002e-10  # Cody and Waite's two parts of log 2


def _vector(width: int, kind: Any = _DOUBLE) -> Any:
    return ir.VectorType(kind, width)


def _constant(value: float, kind: Any = _DOUBLE) -> Any:
    return ir.Constant(_vector(LANES, kind), [value] * LANES)


def _choose(builder, a, b, lanes) -> Any:
    """Return the lanes of a and b put side by side that are listed."""
    return builder.shuffle_vector(a, b, ir.Constant(_vector(len(lanes), _SHORT), list(lanes)))


def _copies(builder, number) -> Any:
    """Return a vector of copies of a number."""
    one = builder.insert_element(ir.Constant(_vector(1, number.type), ir.Undefined), number, _SHORT(0))
    return _choose(builder, one, one, [0] * LANES)


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


def _for_columns(builder, low, high, whole, piece, rest, after=None) -> None:
    """Emit what visits columns low..high-1.

    With eight columns or more: ``whole(j)`` for eight at a time; where some remain, ``rest(high - 8, remain)`` for the
    last eight comes first and ``after(high - 8)`` at the end. With fewer: ``piece(j, width)`` for 4, 2 and 1.
    """
    count = builder.sub(high, low)
    remain = builder.and_(count, _WORD(LANES - 1))
    last, some = builder.sub(high, _WORD(LANES)), builder.icmp_unsigned("!=", remain, _WORD(0))
    with builder.if_else(builder.icmp_unsigned(">=", count, _WORD(LANES))) as (many, few):
        with many:
            with builder.if_then(some):
                rest(last, remain)
            with cgutils.for_range_slice(builder, low, builder.sub(high, remain), _WORD(LANES), _WORD) as (j, _):
                whole(j)
            if after:
                with builder.if_then(some):
                    after(last)
        with few:
            width, place = LANES // 2, low
            while width:
                here = builder.and_(count, _WORD(width))
                with builder.if_then(builder.icmp_unsigned("!=", here, _WORD(0))):
                    piece(place, width)
                width, place = width // 2, builder.add(place, here)


def _prefetch(builder, address, locality) -> None:
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, _SHORT, _SHORT, _SHORT])
    function = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), kind)
    to_read, data = _SHORT(0), _SHORT(1)
    builder.call(function, [builder.bitcast(address, pointer), to_read, _SHORT(locality), data])


@intrinsic
def fetch(typing_context, values: Any = None, place: Any = None):
    """Ask for the cache line of ``values[place]``, which will be read soon; nothing waits for it."""

    def codegen(context, builder, signature, arguments):
        _prefetch(builder, builder.gep(_data(context, builder, values, arguments[0]), [arguments[1]]), _AGAIN)
        return context.get_dummy_value()

    return types.void(values, uint64), codegen


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

        def add(entries, part):
            for entry, total in zip(entries, totals, strict=True):
                builder.store(_fused(builder, entry, part, builder.load(total)), total)

        def whole(j):
            add([_load(builder, row, j) for row in rows], _load(builder, point, j))

        def rest(j, remain):
            places = ir.Constant(_vector(LANES, _WORD), list(range(LANES)))
            seen = builder.sub(_WORD(LANES), remain)
            fresh = builder.icmp_unsigned(">=", places, _copies(builder, seen))
            part = builder.select(fresh, _load(builder, point, j), _constant(0.0))
            add([_load(builder, row, j) for row in rows], part)

        def piece(j, width):
            wide = [*range(width), *[width] * (LANES - width)]  # zeros beyond the piece
            zeros = ir.Constant(_vector(width), [0.0] * width)
            entries = [_choose(builder, _load(builder, row, j, width), zeros, wide) for row in rows]
            add(entries, _choose(builder, _load(builder, point, j, width), zeros, wide))

        _for_columns(builder, low_, high_, whole, piece, rest)
        parts = [builder.load(total) for total in totals]
        for sides in (_TWOS, _FOURS, _FOURS):  # add neighbours until lane r holds the sum of row r
            parts = parts if len(parts) > 1 else parts * 2
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [builder.fadd(*(_choose(builder, a, b, lanes) for lanes in sides)) for a, b in pairs]
        found = _choose(builder, parts[0], parts[0], range(count))
        result = cgutils.alloca_once_value(builder, found)
        with builder.if_then(builder.icmp_unsigned("!=", low_, _WORD(0))):
            builder.store(builder.fadd(found, _load(builder, sums, i_, count)), result)
        _store(builder, builder.load(result), sums, i_)
        return context.get_dummy_value()

    return types.void(values, starts, x, uint64, uint64, work, uint64), codegen


def _adder(finally_: bool) -> Any:
    """Return what emits the code of `add_rows`; ``finally_`` tells the caches that the rows have had their use."""

    def codegen(context, builder, signature, arguments):
        values_, starts_, before_, work_, i_, low_, high_, g_ = arguments
        values, starts, _, work, _, _, _, g = signature.args
        matrix, gradient = _data(context, builder, values, values_), _data(context, builder, g, g_)
        rows = [builder.gep(matrix, [builder.extract_value(starts_, r)]) for r in range(len(starts))]
        slopes = _load(builder, _data(context, builder, work, work_), i_, len(starts))
        fresh = builder.icmp_unsigned("==", before_, _WORD(0))

        def total(j, width=LANES):
            zeros = ir.Constant(_vector(width), [0.0] * width)
            held = builder.select(fresh, zeros, _load(builder, gradient, j, width))
            sums = [held, None]  # two chains of additions: half the wait
            for r, row in enumerate(rows):
                if finally_:
                    _prefetch(builder, builder.gep(row, [builder.add(j, _WORD(AHEAD))]), _NOT_AGAIN)
                entry, factor = _load(builder, row, j, width), _choose(builder, slopes, slopes, [r] * width)
                other = sums[r % 2]
                sums[r % 2] = builder.fmul(entry, factor) if other is None else _fused(builder, entry, factor, other)
            return sums[0] if sums[1] is None else builder.fadd(sums[0], sums[1])

        def visit(j, width=LANES):
            _store(builder, total(j, width), gradient, j)

        last = cgutils.alloca_once(builder, _vector(LANES))

        def rest(j, remain):  # from what g holds before; columns that are visited twice come out the same
            builder.store(total(j), last)

        def after(j):
            _store(builder, builder.load(last), gradient, j)

        _for_columns(builder, low_, high_, visit, visit, rest, after)
        return context.get_dummy_value()

    return codegen


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
    return types.void(values, starts, uint64, work, uint64, uint64, uint64, g), _adder(finally_=False)


@intrinsic
def add_rows_finally(
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
    """Do as `add_rows`, for rows that are not read again soon and should leave the caches to others."""
    return types.void(values, starts, uint64, work, uint64, uint64, uint64, g), _adder(finally_=True)


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


def _apart(builder, name, arguments, body) -> None:
    """Call ``body`` as a function of its own: inlined, its many constants would be spilled by the loop around it."""
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(ir.VoidType(), [argument.type for argument in arguments])
        function = ir.Function(builder.module, kind, name)
        function.linkage = "internal"
        function.attributes.add("noinline")
        inner = ir.IRBuilder(function.append_basic_block())
        body(inner, *function.args)
        inner.ret_void()
    builder.call(function, arguments)


@intrinsic
def logistic_slopes(typing_context, work: Any = None, i: Any = None, labels: Any = None, scale: Any = None):
    """Replace margins m from ``work[i]`` on by -scale b / (1 + exp(b m)), with the labels b from ``work[labels]`` on.

    There are `AT_ONCE` of them. The relative error is 5e-16 for labels +-1 and scale 1, the absolute one 2e-308.
    """

    def body(builder, margins, labels, scale):
        factor = _copies(builder, builder.fsub(_DOUBLE(0.0), scale))
        for part in range(0, AT_ONCE, LANES):
            signs, margin = (_load(builder, place, _WORD(part)) for place in (labels, margins))
            total = builder.fadd(_constant(1.0), _exponential(builder, builder.fmul(signs, margin)))
            _store(builder, builder.fdiv(builder.fmul(signs, factor), total), margins, _WORD(part))

    def codegen(context, builder, signature, arguments):
        first = _data(context, builder, work, arguments[0])
        margins, signs = (builder.gep(first, [place]) for place in arguments[1:3])
        _apart(builder, "logistic_slopes_apart", [margins, signs, arguments[3]], body)
        return context.get_dummy_value()

    return types.void(work, uint64, uint64, float64), codegen


@intrinsic
def logistic_losses(typing_context, work: Any = None, i: Any = None):
    """Replace the numbers z from ``work[i]`` on by log(1 + exp(-z)): relative error 1e-15, absolute 4e-308.

    There are `AT_ONCE` of them. With u = exp(-|z|): max(0, -z) + log(1 + u), where log(1 + u) = 2 artanh(s),
    s = u / (2 + u) <= 1/3.
    """

    def body(builder, numbers):
        zero = _constant(0.0)
        for part in range(0, AT_ONCE, LANES):
            z = _load(builder, numbers, _WORD(part))
            minus = builder.fsub(zero, z)
            above = builder.fcmp_ordered(">", z, zero)
            u = _exponential(builder, builder.select(above, minus, z))
            s = builder.fdiv(u, builder.fadd(u, _constant(2.0)))
            series = _series(builder, [2.0 / (2 * n + 1) for n in range(_ARTANH_TERMS)], builder.fmul(s, s))
            _store(builder, _fused(builder, s, series, builder.select(above, zero, minus)), numbers, _WORD(part))

    def codegen(context, builder, signature, arguments):
        numbers = builder.gep(_data(context, builder, work, arguments[0]), [arguments[1]])
        _apart(builder, "logistic_losses_apart", [numbers], body)
        return context.get_dummy_value()

    return types.void(work, uint64), codegen
