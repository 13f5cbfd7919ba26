# pyright: reportMissingParameterType=false
"""Kernels over a few dense rows at once: their products with x, and their weighted sum.

Numba does not notice edits here or in ``lanes.py`` in the cache of the functions that use them.
"""

from typing import Any

from llvmlite import ir
from numba import types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from .lanes import (
    AGAIN,
    LANES,
    NOT_AGAIN,
    WORD,
    apart,
    choose,
    constant,
    copies,
    data_of,
    for_columns,
    fused,
    load,
    prefetch,
    store,
    vector,
)
from .views import field

__all__: list[str] = []  # compiled code, for the simulators alone

_AHEAD = 8 * LANES  # how many columns before their last use rows are asked for
_APART = 16 * LANES  # columns between the parts of a row that are asked for, before the hardware sees it coming
# lanes of two vectors side by side whose sums are those of neighbours, and then of neighbouring pairs
_TWOS = ((0, 8, 2, 10, 4, 12, 6, 14), (1, 9, 3, 11, 5, 13, 7, 15))
_FOURS = ((0, 1, 4, 5, 8, 9, 12, 13), (2, 3, 6, 7, 10, 11, 14, 15))


def _row_starts(builder, context, rows, batch, first, count, stride) -> Any:
    """Return the places in ``values`` where so many rows begin, from row ``first`` of the batch on."""
    listed = builder.icmp_unsigned("!=", field(context, builder, rows, batch, "nitems"), WORD(0))
    places = [builder.add(first, WORD(r)) for r in range(count)]
    chosen = [cgutils.alloca_once_value(builder, place) for place in places]
    with builder.if_then(listed):  # where none are listed: all in order
        for place, number in zip(places, chosen, strict=True):
            builder.store(builder.load(builder.gep(data_of(context, builder, rows, batch), [place])), number)
    return [builder.mul(builder.load(number), stride) for number in chosen]


def _for_rows(builder, size, counts, visit) -> None:
    """Emit ``visit(i, count)`` for rows i..i+count-1 of a block: as many at once as there are counts for."""
    place = WORD(0)
    for count in counts:
        end = builder.and_(size, WORD(-count))  # counts are powers of two
        with cgutils.for_range_slice(builder, place, end, WORD(count), WORD) as (i, _):
            visit(i, count)
        place = end


@intrinsic
def fetch_rows(
    typing_context,
    values: Any = None,
    stride: Any = None,
    rows: Any = None,
    first: Any = None,
    size: Any = None,
    d: Any = None,
):
    """Ask for parts of ``rows[first : first + size]``; the hardware does not foresee a row that is drawn at random."""

    def body(builder, matrix, numbers, stride, size, d):
        with cgutils.for_range(builder, size) as row:
            place = builder.mul(builder.load(builder.gep(numbers, [row.index])), stride)
            with cgutils.for_range_slice(builder, WORD(0), d, WORD(_APART), WORD) as (j, _):
                prefetch(builder, builder.gep(matrix, [builder.add(place, j)]), AGAIN)

    def codegen(context, builder, signature, arguments):
        values_, stride_, rows_, first_, size_, d_ = arguments
        matrix, numbers = data_of(context, builder, values, values_), data_of(context, builder, rows, rows_)
        apart(builder, "fetch_rows_apart", [matrix, builder.gep(numbers, [first_]), stride_, size_, d_], body)
        return context.get_dummy_value()

    return types.void(values, stride, rows, first, size, d), codegen


def _setter(counts: tuple[int, ...]) -> Any:
    """Return what multiplies the rows of a block with x, so many of them at once."""

    def body(builder, point, sums, low, high, *rows):
        totals = [cgutils.alloca_once_value(builder, constant(0.0)) for _ in rows]

        def add(entries, part):
            for entry, total in zip(entries, totals, strict=True):
                builder.store(fused(builder, entry, part, builder.load(total)), total)

        def whole(j):
            add([load(builder, row, j) for row in rows], load(builder, point, j))

        def rest(j, remain):
            places = ir.Constant(vector(LANES, WORD), list(range(LANES)))
            seen = builder.sub(WORD(LANES), remain)
            fresh = builder.icmp_unsigned(">=", places, copies(builder, seen))
            part = builder.select(fresh, load(builder, point, j), constant(0.0))
            add([load(builder, row, j) for row in rows], part)

        def piece(j, width):
            wide = [*range(width), *[width] * (LANES - width)]  # zeros beyond the piece
            zeros = ir.Constant(vector(width), [0.0] * width)
            entries = [choose(builder, load(builder, row, j, width), zeros, wide) for row in rows]
            add(entries, choose(builder, load(builder, point, j, width), zeros, wide))

        for_columns(builder, low, high, whole, piece, rest)
        parts = [builder.load(total) for total in totals]
        for sides in (_TWOS, _FOURS, _FOURS):  # add neighbours until lane r holds the sum of row r
            parts = parts if len(parts) > 1 else parts * 2
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [builder.fadd(*(choose(builder, a, b, lanes) for lanes in sides)) for a, b in pairs]
        store(builder, choose(builder, parts[0], parts[0], range(len(rows))), sums, WORD(0))

    def codegen(context, builder, signature, arguments):
        values_, stride, rows_, first, size, x_, low, high, work_ = arguments
        values, _, rows, _, _, x, _, _, work = signature.args
        matrix, point = data_of(context, builder, values, values_), data_of(context, builder, x, x_)
        sums = data_of(context, builder, work, work_)

        def visit(i, count):
            starts = _row_starts(builder, context, rows, rows_, builder.add(first, i), count, stride)
            chosen = [builder.gep(matrix, [start]) for start in starts]
            apart(builder, f"set_{count}_products", [point, builder.gep(sums, [i]), low, high, *chosen], body)

        _for_rows(builder, size, counts, visit)
        return context.get_dummy_value()

    @intrinsic
    def set_products(
        typing_context,
        values: Any = None,
        stride: Any = None,
        rows: Any = None,
        first: Any = None,
        size: Any = None,
        x: Any = None,
        low: Any = None,
        high: Any = None,
        work: Any = None,
    ):
        """Set ``work[:size]`` to the products of x and ``rows[first : first + size]`` over columns low..high-1.

        Row r begins at ``values[r * stride]``; where no rows are listed, they are all in order.
        """
        return types.void(values, uint64, rows, uint64, uint64, x, uint64, uint64, work), codegen

    return set_products


def _adder(counts: tuple[int, ...], finally_: bool = False) -> Any:
    """Return what adds up the rows of a block; ``finally_`` tells the caches that the rows have had their use."""

    def body(builder, gradient, weights, before, low, high, *rows):
        slopes = load(builder, weights, WORD(0), len(rows))
        fresh = builder.icmp_unsigned("==", before, WORD(0))

        def total(j, width=LANES):
            zeros = ir.Constant(vector(width), [0.0] * width)
            held = builder.select(fresh, zeros, load(builder, gradient, j, width))
            sums = [held, None]  # two chains of additions: half the wait
            for r, row in enumerate(rows):
                if finally_:
                    prefetch(builder, builder.gep(row, [builder.add(j, WORD(_AHEAD))]), NOT_AGAIN)
                entry, factor = load(builder, row, j, width), choose(builder, slopes, slopes, [r] * width)
                other = sums[r % 2]
                sums[r % 2] = builder.fmul(entry, factor) if other is None else fused(builder, entry, factor, other)
            return sums[0] if sums[1] is None else builder.fadd(*sums)

        def visit(j, width=LANES):
            store(builder, total(j, width), gradient, j)

        last = cgutils.alloca_once(builder, vector(LANES))

        def rest(j, remain):  # from what g holds before; columns that are visited twice come out the same
            builder.store(total(j), last)

        def after(j):
            store(builder, builder.load(last), gradient, j)

        for_columns(builder, low, high, visit, visit, rest, after)

    def codegen(context, builder, signature, arguments):
        values_, stride, rows_, first, size, work_, low, high, g_ = arguments
        values, _, rows, _, _, work, _, _, g = signature.args
        matrix, gradient = data_of(context, builder, values, values_), data_of(context, builder, g, g_)
        slopes = data_of(context, builder, work, work_)

        def visit(i, count):
            before = builder.add(first, i)
            starts = _row_starts(builder, context, rows, rows_, before, count, stride)
            chosen = [builder.gep(matrix, [start]) for start in starts]
            name = f"add_{count}_rows" + ("_finally" if finally_ else "")
            apart(builder, name, [gradient, builder.gep(slopes, [i]), before, low, high, *chosen], body)

        _for_rows(builder, size, counts, visit)
        return context.get_dummy_value()

    @intrinsic
    def add_rows(
        typing_context,
        values: Any = None,
        stride: Any = None,
        rows: Any = None,
        first: Any = None,
        size: Any = None,
        work: Any = None,
        low: Any = None,
        high: Any = None,
        g: Any = None,
    ):
        """Add ``rows[first : first + size]``, each times its number in ``work``, to g over columns low..high-1.

        Rows as for products; the first rows of all, those with first == 0, set g instead.
        """
        return types.void(values, uint64, rows, uint64, uint64, work, uint64, uint64, g), codegen

    return add_rows


set_products, add_rows = _setter((8, 4, 1)), _adder((8, 4, 1))
set_wide_products, add_wide_rows = _setter((8, 4, 2, 1)), _adder((8, 4, 2, 1), finally_=True)
