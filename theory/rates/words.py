"""What a rate says, in words: its kind, which steps bind, and where the schedule loses."""

from typing import Any

import numpy as np

from lastiterate.theory.base.result import KINDS

from .result import Rate

__all__ = ["in_words"]

_NOUGHT = 1e-9  # of G^2, the largest slope there can be


def in_words(rate: Rate) -> dict[str, str]:
    """Return what a rate is, which of its steps bind, and where it loses, in words.

    Examples
    --------
    >>> import lastiterate as li
    >>> in_words(li.exact_rate([1.0, 1.0, 0.01]))["steps"]
    'the first 2 of 3 steps bind; the last 1 is free: raising it a little lowers the rate'
    """
    n, binding = rate.n_steps, rate.binding
    free = n - binding
    bind = (
        f"all {n} steps bind" if free == 0 else f"the first {binding} of {n} steps bind" if binding else "no step binds"
    )
    if free:
        bind += (
            f"; the last {free} {'is' if free == 1 else 'are'} free: raising {'it' if free == 1 else 'them'} a little"
        )
        bind += " lowers the rate"
    slopes = rate.gradient[:binding]
    nought = _NOUGHT * float(np.max(rate.G)) ** 2
    parts = [
        f"{name} at {_stretches(np.flatnonzero(where))}"
        for name, where in (("larger steps", slopes < -nought), ("smaller steps", slopes > nought))
        if where.any()
    ]
    return {"kind": KINDS[rate.kind], "steps": bind, "would help": " and ".join(parts) or "nothing, to first order"}


def _stretches(steps: Any) -> str:
    """Name runs of consecutive steps, three at most."""
    runs = np.split(steps, np.flatnonzero(np.diff(steps) > 1) + 1)
    names = [f"{run[0]}" if run.size == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    more = f" and {len(names) - 3} more stretches" if len(names) > 3 else ""
    return "steps " + ", ".join(names[:3]) + more
