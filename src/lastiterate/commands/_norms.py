"""Gradient norms on the command line: a number, or any file that ``refine`` reads, the recorder's first of all."""

from pathlib import Path
from typing import Any


def column_of(path: Path, kind: str) -> str | None:
    """Return the column of the norms of a kind, ``l1`` or ``l2``, in a file that has both, as the recorder writes it.

    None leaves the choice to `read_norms`, which refuses what is ambiguous.
    """
    from lastiterate.experiments.logs.formats import read_table

    if not path.is_file() or path.suffix in (".npy", ".npz"):
        return None
    names = list(read_table(path).columns)
    found = {end: [name for name in names if name.lower().endswith(end)] for end in ("l1", "l2")}
    return found[kind][0] if len(found["l1"]) == len(found["l2"]) == 1 else None


def gradient_bounds(text: str, option: str = "--gradient") -> Any:
    """Return a number, or the bounds in a file, one a step.

    Raises
    ------
    InputError
        For a text that is neither, and for a file that cannot be read as norms; both name the option.
    """
    from lastiterate.experiments.logs.norms import read_norms
    from lastiterate.theory.base.validation import InputError
    from lastiterate.theory.optimal.refinement import to_horizon

    try:
        return float(text)
    except ValueError:
        path = Path(text)
    if not path.exists():
        raise InputError(option, text, "a number or a file of bounds")
    try:
        found = read_norms(path, column=column_of(path, "l2"))
    except InputError as error:
        raise InputError(option, text, f"a file of gradient norms ({error})") from error
    return to_horizon(found.norms, found.horizon, found.positions, found.span)


NO_MOMENTUM = "bounds that vary are for schedules without momentum"


def gradient_bound(text: str, option: str = "--gradient", why: str = NO_MOMENTUM) -> float:
    """Return the number where a file would have no meaning; ``why`` says so.

    >>> gradient_bound("2")
    2.0
    """
    from lastiterate.theory.base.validation import InputError

    try:
        return float(text)
    except ValueError as error:
        raise InputError(option, text, f"a number here: {why}") from error


def told(G: Any, text: str, *, as_json: bool) -> Any:
    """Return the bounds as the output tells them: a number, all of them as JSON, or where they came from."""
    if isinstance(G, float):
        return G
    return G.tolist() if as_json else f"{G.size} bounds, {G.min():g} to {G.max():g}, from {text}"
