"""Views of arrays and calls of functions at an address, in the few instructions that they need.

A slice of Numba's tests for negative numbers and ends beyond the array; a function passed as a value brings three
addresses, and every call of it a way back to Python; what lets Python call a function of thirty arguments takes longer
to compile than most functions. Nobody needs any of that here. Nothing is counted either: the caller keeps arrays and
functions alive.
"""
# pyright: reportMissingParameterType=false

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import int64, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__: list[str] = []  # compiled code, for the simulators alone


def field(context, builder, kind, array, name) -> Any:
    """Return a field of an array: its data, nitems, shape or strides."""
    return builder.extract_value(array, context.data_model_manager[kind].get_field_position(name))


def _view(context, builder, kind, source, array, first, shape) -> Any:
    """Return a contiguous view of an array from entry ``first`` on; it has no owner."""
    size, strides, total = context.get_constant(types.intp, 8), [], context.get_constant(types.intp, 1)
    for length in reversed(shape):
        strides.insert(0, builder.mul(total, size))
        total = builder.mul(total, length)
    fields = {
        "nitems": total,
        "itemsize": size,
        "data": builder.gep(field(context, builder, source, array, "data"), [first]),
        "shape": cgutils.pack_array(builder, list(shape)),
        "strides": cgutils.pack_array(builder, strides),
    }
    model, view = context.data_model_manager[kind], ir.Constant(context.get_value_type(kind), None)
    for name, value in fields.items():
        view = builder.insert_value(view, value, model.get_field_position(name))
    return view


def _shape(context, builder, kind, array) -> Any:
    return cgutils.unpack_tuple(builder, field(context, builder, kind, array, "shape"))


@intrinsic
def part(typing_context, vector: Any = None, start: Any = None, stop: Any = None):
    """Return ``vector[start:stop]`` for 0 <= start <= stop <= vector.size, of numbers of eight bytes."""

    def codegen(context, builder, signature, arguments):
        whole, first, last = arguments
        return _view(context, builder, vector, vector, whole, first, [builder.sub(last, first)])

    return vector(vector, int64, int64), codegen


@intrinsic
def rows_of(typing_context, matrix: Any = None, start: Any = None, stop: Any = None):
    """Return ``matrix[start:stop]`` for 0 <= start <= stop <= its rows, contiguous, of numbers of eight bytes."""

    def codegen(context, builder, signature, arguments):
        whole, first, last = arguments
        _, columns = _shape(context, builder, matrix, whole)
        place = builder.mul(first, columns)
        return _view(context, builder, matrix, matrix, whole, place, [builder.sub(last, first), columns])

    return matrix(matrix, int64, int64), codegen


@intrinsic
def entry(typing_context, array: Any = None, i: Any = None):
    """Return ``array[i]`` for 0 <= i < its length, of a contiguous array of two or more axes."""
    kind = array.copy(ndim=array.ndim - 1)

    def codegen(context, builder, signature, arguments):
        whole, place = arguments
        shape = _shape(context, builder, array, whole)[1:]
        for length in shape:
            place = builder.mul(place, length)
        return _view(context, builder, kind, array, whole, place, shape)

    return kind(array, int64), codegen


@intrinsic
def copy_to(typing_context, target: Any = None, source: Any = None):
    """Copy all numbers of a vector to the beginning of another one."""

    def codegen(context, builder, signature, arguments):
        kinds = zip(signature.args, arguments, strict=True)
        to, of = (field(context, builder, kind, array, "data") for kind, array in kinds)
        cgutils.raw_memcpy(builder, to, of, field(context, builder, source, arguments[1], "nitems"), 8)
        return context.get_dummy_value()

    return types.void(target, source), codegen


@intrinsic
def clear(typing_context, array: Any = None):
    """Set all numbers of a contiguous array to zero."""

    def codegen(context, builder, signature, arguments):
        data, count = (field(context, builder, array, arguments[0], name) for name in ("data", "nitems"))
        cgutils.memset(builder, data, builder.mul(count, count.type(8)), 0)
        return context.get_dummy_value()

    return types.void(array), codegen


def _lent(context, builder, kind, array) -> Any:
    """Return an array without its owner, which there is no need to hand on: 3 per cent of a small step."""
    if isinstance(kind, types.Array):
        model = context.data_model_manager[kind]
        for name in ("meminfo", "parent"):
            place = model.get_field_position(name)
            array = builder.insert_value(array, ir.Constant(array.type.elements[place], None), place)
    return array


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


_PASSED = {types.int64: ctypes.c_int64, types.float64: ctypes.c_double}


def _passed(kind: Any, value: Any) -> list[Any]:
    """Return an argument in the pieces that compiled code takes it in; of an array: owner, parent, size, ..."""
    if isinstance(kind, types.UniTuple):
        return [piece for one in value for piece in _passed(kind.dtype, one)]
    if not isinstance(kind, types.Array):
        return [_PASSED[kind](value)]
    if (
        value.dtype != np.dtype(kind.dtype.name)
        or value.ndim != kind.ndim
        or not (value.flags.c_contiguous and value.flags.aligned)
    ):
        raise TypeError(f"{value.dtype} array of shape {value.shape} and strides {value.strides} is no {kind}")
    pieces = (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    return [ctypes.c_ssize_t(piece) for piece in pieces]


def from_python(function: Any, signature: Any) -> Callable[..., None]:
    """Return what calls a compiled function from Python, whose other threads run meanwhile."""
    place = address(function, signature)

    def call(*arguments: Any) -> None:
        pieces = [piece for pair in zip(signature.args, arguments, strict=True) for piece in _passed(*pair)]
        nothing, failure = ctypes.c_void_p(), ctypes.c_void_p()
        if ctypes.CFUNCTYPE(ctypes.c_int32)(place)(ctypes.byref(nothing), ctypes.byref(failure), *pieces):
            raise MemoryError(f"{function.__name__} found no room")

    return call
