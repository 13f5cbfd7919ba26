"""Worst-case functions as files: npz without pickle, written all at once."""

import io
from pathlib import Path

import numpy as np

from lastiterate.theory.base.files import existing_file, write_atomically
from lastiterate.theory.base.validation import InputError, check_choice, check_path

from .problem import Minimum, Problem

__all__ = ["read_function", "write_function"]

_ARRAYS = ("slopes", "intercepts", "x0", "x_star")
_SCALARS = ("f_star", "tie_tolerance")
_SCHEMA = 2


def write_function(problem: Problem, path: str | Path) -> Path:
    """Write a maximum of affine pieces with its minimiser, such as ``li.worst_case(H).function``, to an npz file.

    Parameters
    ----------
    problem : Problem
        Of kind ``max_affine``, with dense rows.
    path : str or Path
        The file, replaced atomically.

    Returns
    -------
    Path

    Raises
    ------
    InputError
        For a problem of another kind, or a path that cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from lastiterate.theory.problems import max_affine
    >>> with TemporaryDirectory() as folder:
    ...     path = write_function(max_affine([[1.0], [-1.0]], [0.0, 0.0], x0=[2.0]), Path(folder, "f.npz"))
    ...     read_function(path).D
    2.0
    """
    if not isinstance(problem, Problem):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("problem", problem, "a Problem")
    check_choice(problem.kind, "problem kind", ("max_affine",))
    if problem.sparse:
        raise InputError("problem", problem.name, "a function with dense rows")
    buffer = io.BytesIO()
    np.savez(
        buffer,
        schema=np.int64(_SCHEMA),
        step_tie=np.bool_(problem.tie == "step"),
        f_star=np.float64(problem.f_star),
        tie_tolerance=np.float64(problem.tie_tolerance),
        slopes=problem.matrix,
        intercepts=problem.targets,
        x0=problem.x0,
        x_star=problem.x_star,
    )
    target = check_path(path)
    write_atomically(target, buffer.getvalue())
    return target


def read_function(path: str | Path) -> Problem:
    """Read what `write_function` wrote.

    Parameters
    ----------
    path : path
        The npz file.

    Returns
    -------
    Problem
        The function, equal to the one written to the last digit.

    Raises
    ------
    InputError
        For a file of another kind, or a damaged one.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from lastiterate.theory.problems import max_affine
    >>> with TemporaryDirectory() as folder:
    ...     path = write_function(max_affine([[1.0], [-1.0]], [0.0, 0.0], x0=[2.0]), Path(folder, "f.npz"))
    ...     read_function(path).name
    'worst-case function'
    """
    expected = "an npz file written by write_function"
    file = existing_file(path, "path", "an existing file")
    try:
        with np.load(file, allow_pickle=False) as data:
            schema, steps = int(data["schema"]), bool(data["step_tie"])
            slopes, intercepts, x0, x_star = (np.ascontiguousarray(data[name], dtype=np.float64) for name in _ARRAYS)
            f_star, tolerance = (float(data[name]) for name in _SCALARS)
    except Exception as error:  # zipfile, zlib and NumPy's parser of headers raise whatever comes
        raise InputError("path", f"{path} ({type(error).__name__}: {error})", expected) from error
    shapes = slopes.shape == intercepts.shape + x0.shape and x_star.shape == x0.shape
    finite = all(np.isfinite(array).all() for array in (slopes, intercepts, x0, x_star, f_star, tolerance))
    if schema != _SCHEMA or not shapes or not finite:
        raise InputError("path", str(path), expected)
    known = Minimum(x_star, f_star, 0.0, "file")
    tie = "step" if steps else "first"
    return Problem(
        "worst-case function", "max_affine", slopes, intercepts, x0, tie=tie, tie_tolerance=tolerance, known=known
    )
