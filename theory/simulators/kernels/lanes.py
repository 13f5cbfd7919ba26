# pyright: reportMissingParameterType=false
"""Vector instructions, eight numbers wide, as the kernels in ``rows.py`` and ``logistic.py`` put them together.

What an optimiser makes of their loops is far slower: on narrow matrices the set-up and the remainders of a loop cost
more than its work. Instructions of eight numbers exist on every machine, because LLVM splits them where registers are
narrower; a sum is in the same order on all of them.
"""

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from .views import field

__all__: list[str] = []  # compiled code, for the simulators alone

LANES = 8
DOUBLE, WORD, SHORT = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
NOT_AGAIN, AGAIN = 0, 3  # degrees of locality
_FUSED = ("contract",)


def vector(width: int, kind: Any = DOUBLE) -> Any:
    """Return the type of a vector."""
    return ir.VectorType(kind, width)


def constant(value: float, kind: Any = DOUBLE) -> Any:
    """Return a vector of copies of a number that is known now."""
    return ir.Constant(vector(LANES, kind), [value] * LANES)


def choose(builder, a, b, lanes) -> Any:
    """Return the lanes of a and b put side by side that are listed."""
    return builder.shuffle_vector(a, b, ir.Constant(vector(len(lanes), SHORT), list(lanes)))


def copies(builder, number) -> Any:
    """Return a vector of copies of a number."""
    one = builder.insert_element(ir.Constant(vector(1, number.type), ir.Undefined), number, SHORT(0))
    return choose(builder, one, one, [0] * LANES)


def data_of(context, builder, kind, array) -> Any:
    """Return the address of the first number of an array."""
    return field(context, builder, kind, array, "data")


def load(builder, address, j, width=LANES) -> Any:
    """Return the vector that begins at ``address[j]``."""
    place = builder.bitcast(builder.gep(address, [j]), vector(width).as_pointer())
    return builder.load(place, align=8)


def store(builder, value, address, j) -> None:
    """Write a vector from ``address[j]`` on."""
    builder.store(value, builder.bitcast(builder.gep(address, [j]), value.type.as_pointer()), align=8)


def fused(builder, a, b, c) -> Any:
    """Return a * b + c, rounded once where the machine can."""
    return builder.fadd(builder.fmul(a, b, flags=_FUSED), c, flags=_FUSED)


def apart(builder, name, arguments, body) -> None:
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


def for_columns(builder, low, high, whole, piece, rest, after=None) -> None:
    """Emit what visits columns low..high-1.

    With eight columns or more: ``whole(j)`` for eight at a time; where some remain, ``rest(high - 8, remain)`` for the
    last eight comes first and ``after(high - 8)`` at the end. With fewer: ``piece(j, width)`` for 4, 2 and 1.
    """
    count = builder.sub(high, low)
    remain = builder.and_(count, WORD(LANES - 1))
    last, some = builder.sub(high, WORD(LANES)), builder.icmp_unsigned("!=", remain, WORD(0))
    with builder.if_else(builder.icmp_unsigned(">=", count, WORD(LANES))) as (many, few):
        with many:
            with builder.if_then(some):
                rest(last, remain)
            with cgutils.for_range_slice(builder, low, builder.sub(high, remain), WORD(LANES), WORD) as (j, _):
                whole(j)
            if after:
                with builder.if_then(some):
                    after(last)
        with few:
            width, place = LANES // 2, low
            while width:
                here = builder.and_(count, WORD(width))
                with builder.if_then(builder.icmp_unsigned("!=", here, WORD(0))):
                    piece(place, width)
                width, place = width // 2, builder.add(place, here)


def prefetch(builder, address, locality) -> None:
    """Ask for a cache line that will be read soon, and again or not; nothing waits for it."""
    pointer = ir.IntType(8).as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [pointer, SHORT, SHORT, SHORT])
    function = builder.module.declare_intrinsic("llvm.prefetch", (pointer,), kind)
    to_read, data = SHORT(0), SHORT(1)
    builder.call(function, [builder.bitcast(address, pointer), to_read, SHORT(locality), data])
