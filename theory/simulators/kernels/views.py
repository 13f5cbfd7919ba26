"""Views of arrays and calls of functions at an address, in the few instructions that they need.

A slice of Numba's tests for negative numbers and ends beyond the array; a function passed as a value brings three
addresses, and every call of it a way back to Python. Nobody needs any of that here, and together it takes seconds to
compile. Nothing is counted either: the caller keeps arrays and functions alive.
"""
# pyright: reportMissingParameterType=false

from typing import Any

from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__: list[str] = []  # compiled code, for the simulators alone


def _view(context, builder, source, array, kind, first, shape) -> Any:
    """Return a contiguous view of an array from entry ``first`` on; its owner is unknown."""
    data = cgutils.create_struct_proxy(source)(context, builder, value=array).data
    word = context.get_value_type(types.intp)
    size, strides, total = context.get_constant(types.intp, 8), [], word(1)
    for length in reversed(shape):
        strides.insert(0, builder.mul(total, size))
        total = builder.mul(total, length)
    view = cgutils.create_struct_proxy(kind)(context, builder)
    view.meminfo = cgutils.get_null_value(view.meminfo.type)
    view.parent = cgutils.get_null_value(view.parent.type)
    view.nitems, view.itemsize = total, size
    view.data = builder.gep(data, [first])
    view.shape, view.strides = (cgutils.pack_array(builder, list(sizes), word) for sizes in (shape, strides))
    return view._getvalue()


@intrinsic
def part(typing_context, vector: Any = None, start: Any = None, stop: Any = None):
    """Return ``vector[start:stop]`` for 0 <= start <= stop <= vector.size, of numbers of eight bytes."""

    def codegen(context, builder, signature, arguments):
        whole, first, last = arguments
        return _view(context, builder, vector, whole, vector, first, [builder.sub(last, first)])

    return vector(vector, int64, int64), codegen


@intrinsic
def rows_of(typing_context, matrix: Any = None, start: Any = None, stop: Any = None):
    """Return ``matrix[start:stop]`` for 0 <= start <= stop <= its rows, contiguous, of numbers of eight bytes."""

    def codegen(context, builder, signature, arguments):
        whole, first, last = arguments
        _, columns = cgutils.unpack_tuple(
            builder, cgutils.create_struct_proxy(matrix)(context, builder, value=whole).shape
        )
        place = builder.mul(first, columns)
        return _view(context, builder, matrix, whole, matrix, place, [builder.sub(last, first), columns])

    return matrix(matrix, int64, int64), codegen


@intrinsic
def entry(typing_context, array: Any = None, i: Any = None):
    """Return ``array[i]`` for 0 <= i < its length, of a contiguous array of two or more axes."""
    kind = array.copy(ndim=array.ndim - 1)

    def codegen(context, builder, signature, arguments):
        whole, index = arguments
        shape = cgutils.unpack_tuple(builder, cgutils.create_struct_proxy(array)(context, builder, value=whole).shape)
        place = index
        for length in shape[1:]:
            place = builder.mul(place, length)
        return _view(context, builder, array, whole, kind, place, shape[1:])

    return kind(array, int64), codegen


def _lent(context, builder, kind, value) -> Any:
    """Return an array without its owner, which there is no need to hand on: 3 per cent of a small step."""
    if not isinstance(kind, types.Array):
        return value
    view = cgutils.create_struct_proxy(kind)(context, builder, value=value)
    view.meminfo = cgutils.get_null_value(view.meminfo.type)
    view.parent = cgutils.get_null_value(view.parent.type)
    return view._getvalue()


def address(function: Any, signature: Any) -> int:
    """Return where the compiled form of a function for a signature begins; it stays there as long as the function."""
    compiled = function.get_compile_result(signature)
    if compiled.signature.return_type != signature.return_type:
        raise TypeError(f"{function.__name__} returns {compiled.signature.return_type}, not {signature.return_type}")
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


def caller(kind: Any) -> Any:
    """Return what calls, from compiled code, the function at an address: ``call(place, *arguments)``."""

    @intrinsic
    def call(typing_context, place: Any = None, *arguments: Any):
        given = types.StarArgTuple(arguments)

        def codegen(context, builder, signature, values):
            types_ = signature.args[1].types
            unpacked = zip(cgutils.unpack_tuple(builder, values[1]), types_, kind.args, strict=True)
            cast = [
                _lent(context, builder, target, context.cast(builder, value, source, target))
                for value, source, target in unpacked
            ]
            form = context.call_conv.get_function_type(kind.return_type, kind.args)
            function = builder.inttoptr(values[0], form.as_pointer())
            status, value = context.call_conv.call_function(builder, function, kind.return_type, kind.args, cast)
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return value

        return kind.return_type(place, given), codegen

    return call
