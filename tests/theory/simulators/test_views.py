"""Views of arrays and calls from Python, against NumPy's slices; what does not fit a signature is refused."""

import numpy as np
import pytest
from numba import float64, int64, njit, types

from lastiterate.theory.simulators.kernels.protocol import KERNEL, Matrix, Rows, Vector
from lastiterate.theory.simulators.kernels.views import clear, copy_to, entry, from_python, part, rows_of

CUBE = float64[:, :, ::1]
SIGNATURE = types.void(CUBE, Matrix, Vector, Rows, types.UniTuple(int64, 2), float64, int64)


@njit(SIGNATURE, **KERNEL)
def visit(cube, matrix, vector, rows, pair, factor, i):
    """Touch every view once."""
    clear(entry(cube, i))
    copy_to(entry(matrix, i), part(vector, pair[0], pair[1]))
    some = rows_of(matrix, i + 1, matrix.shape[0])
    for j in range(some.shape[0]):
        some[j, 0] = factor * rows[j]


@njit(types.void(int64), nogil=True)
def fail(i):
    """Raise, as what finds no room for an array does."""
    if i > 0:
        raise ValueError("no room")


def arrays():
    rng = np.random.default_rng(0)
    return rng.random((3, 4, 5)), rng.random((4, 5)), rng.random(9), np.arange(7, 12)


@pytest.mark.parametrize("i", [0, 1, 2])
def test_views_vs_slices(i):
    cube, matrix, vector, rows = arrays()
    expected_cube, expected = cube.copy(), matrix.copy()
    expected_cube[i], expected[i], expected[i + 1 :, 0] = 0.0, vector[2:7], 0.5 * rows[: 3 - i]
    from_python(visit, SIGNATURE)(cube, matrix, vector, rows, (2, 7), 0.5, i)
    np.testing.assert_array_equal(cube, expected_cube)
    np.testing.assert_array_equal(matrix, expected)


@pytest.mark.parametrize(
    ("place", "change"),
    [
        (0, lambda array: array[0]),
        (1, lambda array: np.asfortranarray(array)),
        (2, lambda array: array.astype(np.float32)),
        (2, lambda array: array[::2]),
        (3, lambda array: array.astype(np.uint64)),
    ],
)
def test_an_array_of_another_kind_is_refused(place, change):
    given = [*arrays(), (0, 5), 0.5, 0]
    given[place] = change(given[place])
    with pytest.raises(TypeError, match="is no array"):
        from_python(visit, SIGNATURE)(*given)


def test_a_failure_is_not_passed_over():
    call = from_python(fail, types.void(int64))
    call(0)
    with pytest.raises(MemoryError, match="fail"):
        call(1)
