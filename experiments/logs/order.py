"""The order of a run: rows logged twice, rolled-back branches, counters that start again, rows out of place."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError

__all__ = ["in_run_order"]

SHUFFLED_SHARE = 0.25


def in_run_order(
    steps: Array, values: Array, epochs: Array | None, place: Callable[[int], str], *, by_rows: bool = False
) -> tuple[Array, npt.NDArray[np.int64], list[str]]:
    """Return increasing steps, the rows that they keep, and a line on whatever was merged, dropped or assumed.

    * of several rows at one step the last counts;
    * a run resumed from an earlier step abandons what it had logged from there on;
    * a log that holds the same rows twice holds them once;
    * a counter that starts again with each epoch is counted on, with the epochs at hand, and is an error without;
    * rows in another order, each step once, are sorted.

    Parameters
    ----------
    steps : float64[n]
        Whole numbers in the order of the file.
    values : float64[n]
        What stands there: rows that repeat steps and values are a copy, and no new epoch.
    epochs : float64[n] or None
        Epoch of every row.
    place : callable
        Says where row k stands.
    by_rows : bool
        Rows are what counts: a counter that starts again is no error.

    Raises
    ------
    InputError
        If the steps go back in a way that has more than one reading.

    Examples
    --------
    >>> steps, rows, notes = in_run_order(np.array([0.0, 10.0, 20.0, 5.0, 15.0]), np.arange(5.0), None, str)
    >>> steps.tolist(), rows.tolist(), notes
    ([0.0, 5.0, 15.0], [0, 3, 4], ['rolled back to step 5: 2 rows of the abandoned part left out'])
    """
    notes: list[str] = []
    last = np.append(np.diff(steps) != 0.0, True)[: steps.size]
    rows = np.flatnonzero(last)
    if rows.size < steps.size:
        notes.append(f"{steps.size - rows.size} steps were logged again; the last value counts")
    steps = steps[rows]
    back = np.flatnonzero(np.diff(steps) < 0.0) + 1
    if back.size == 0:
        return steps, rows, notes
    if back.size == steps.size - 1 > 1:
        return steps[::-1], rows[::-1], [*notes, "the log runs backwards; it was turned round"]
    if (steps[back] <= steps[0]).any():
        if epochs is None and _is_copied(steps, values[rows]):
            kept = np.unique(steps, return_index=True)[1]
            return steps[kept], rows[kept], [*notes, f"{steps.size - kept.size} rows that repeat others left out"]
        return _counted_on(steps, rows, back, epochs, place, notes, by_rows)
    if _is_out_of_place(steps, back):
        order = np.argsort(steps, kind="stable")
        return steps[order], rows[order], [*notes, f"{back.size} rows out of order were sorted by step"]
    if back.size > SHUFFLED_SHARE * steps.size:
        where = f"{back.size} steps back, the first at {place(int(rows[back[0]]))}"
        raise InputError("steps", where, "rows in the order of the run, or every step once")
    kept = _without_abandoned(steps)
    lost = steps.size - kept.size
    places = ", ".join(f"{steps[k]:g}" for k in back[:3]) + (", ..." if back.size > 3 else "")
    notes.append(f"rolled back to step {places}: {lost} rows of the abandoned part left out")
    return steps[kept], rows[kept], notes


def _without_abandoned(steps: Array) -> npt.NDArray[np.int64]:
    """Rows that a run keeps which logs every step again from each point that it goes back to."""
    least_later = np.append(np.minimum.accumulate(steps[::-1])[::-1][1:], np.inf)
    return np.flatnonzero(steps < least_later)


def _is_out_of_place(steps: Array, back: npt.NDArray[np.int64]) -> bool:
    """Whether sorting interleaves nothing: each step once, at the usual distance or farther."""
    gaps = np.diff(np.sort(steps))
    if gaps.min() == 0.0:
        return False
    forward = np.diff(steps)
    return bool(back.size > SHUFFLED_SHARE * steps.size or gaps.min() >= 0.75 * np.median(forward[forward > 0.0]))


def _is_copied(steps: Array, values: Array) -> bool:
    """Whether a step has the same value wherever it stands, and values tell rows apart: parts of one log."""
    _, first, number = np.unique(steps, return_index=True, return_inverse=True)
    agree = np.array_equal(values[first][number], values, equal_nan=True)
    return bool(agree and first.size < steps.size and np.unique(values).size > max(2, first.size // 4))


def _counted_on(
    steps: Array,
    rows: npt.NDArray[np.int64],
    back: npt.NDArray[np.int64],
    epochs: Array | None,
    place: Callable[[int], str],
    notes: list[str],
    by_rows: bool,
) -> tuple[Array, npt.NDArray[np.int64], list[str]]:
    """Steps of a counter that starts again with every epoch."""
    part = np.zeros(steps.size, dtype=np.int64)
    part[back] = 1
    part = np.cumsum(part)
    stride = float(np.median(np.diff(steps)[np.diff(steps) > 0.0])) if (np.diff(steps) > 0.0).any() else 1.0
    length = float(steps.max()) - float(steps[0]) + stride
    if epochs is not None:
        numbers = epochs[rows]
        changes = np.flatnonzero(np.diff(numbers)) + 1
        if np.array_equal(changes, back) and (np.diff(numbers) >= 0.0).all():
            whole = (numbers == np.rint(numbers)).all()
            passed = numbers - numbers[0] if whole else part
            notes.append(f"the counter starts again with each of {back.size + 1} epochs; {length:g} steps an epoch")
            return steps + length * passed, rows, notes
    if by_rows:
        notes.append(f"the steps start again {back.size} times; rows were counted instead")
        return np.arange(float(steps.size)), rows, notes
    where = f"step {steps[back[0]]:g} after {steps[back[0] - 1]:g} at {place(int(rows[back[0]]))}"
    expected = (
        "steps that do not start again: name another counter (step_column=...), count rows (positions='rows'), "
        "or keep one run in the log"
    )
    raise InputError("steps", where, expected)
