"""Recorded gradient norms made fit for refinement: gaps are filled, never by the smallest norm of the run."""

import numpy as np

from lastiterate.theory.base.validation import Array

__all__ = ["without_gaps"]


def without_gaps(norms: Array) -> tuple[Array, list[str]]:
    """Fill the norms that refinement cannot use, and say what was filled.

    A norm that is not finite comes from a step whose gradient overflowed; it is interpolated between its neighbours in
    time, on a logarithmic scale, and held at the ends. Refinement weighs a step by a negative power of its norm, so
    any value lower than the neighbours' would give the step a weight that nothing measured. A norm of zero is a
    gradient of zero: the smallest positive norm of its run stands for it.

    Parameters
    ----------
    norms : array, shape (runs, n)
        Norms, one row a run.

    Returns
    -------
    filled : float64[runs, n]
        All positive and finite; rows in which no norm is usable are left out.
    notes : list of str
        One sentence for each kind of gap.

    Examples
    --------
    >>> filled, notes = without_gaps(np.array([[np.inf, 4.0, np.inf, 1.0, 0.0]]))
    >>> filled.round(3).tolist(), len(notes)
    ([[4.0, 4.0, 2.0, 1.0, 1.0]], 2)
    """
    rows = [np.asarray(row, dtype=np.float64) for row in norms if (np.isfinite(row) & (row > 0.0)).any()]
    notes: list[str] = []
    overflowed, zero = sum(int((~np.isfinite(row)).sum()) for row in rows), sum(int((row <= 0.0).sum()) for row in rows)
    if overflowed:
        notes.append(f"{overflowed} norms were not finite; they were interpolated between their neighbours in time")
    if zero:
        notes.append(f"{zero} norms were zero; the smallest positive one of their run was put there")
    if len(rows) < len(norms):
        notes.append(f"{len(norms) - len(rows)} runs without a usable norm were left out")
    return np.array([_filled(row) for row in rows]).reshape(len(rows), np.shape(norms)[1]), notes


def _filled(row: Array) -> Array:
    usable = np.isfinite(row) & (row > 0.0)
    floor = row[usable].min()
    finite = np.isfinite(row)
    logs = np.log(np.where(finite, np.maximum(row, floor), 1.0))
    at = np.arange(row.size)
    return np.where(finite, np.maximum(row, floor), np.exp(np.interp(at, at[finite], logs[finite])))
