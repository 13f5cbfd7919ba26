"""What a fit sees of a log: few points of the loss, far enough apart to be independent, and the law's terms there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array
from lastiterate.theory.laws.protocol import Law, Run

from .log import LossLog

__all__ = ["Sample", "group_names", "prepare", "sample", "truncate"]

SPACING = 512
LEAST_POINTS = 40
MOST_POINTS = 64


@dataclass(frozen=True, eq=False)
class Sample:
    """Points of one log: numbers of steps, losses, and the group whose offset they carry (-1 for none)."""

    run: Run
    at: npt.NDArray[np.int64]
    loss: Array
    group: int


def sample(logs: Sequence[LossLog], on: str) -> list[Sample]:
    """Return the points of every log: the last loss alone, or one every 512 steps (forty to 64 a run)."""
    groups = group_names(logs)
    samples: list[Sample] = []
    for log in logs:
        kept = np.array([log.at.size - 1]) if on == "final" else _thinned(log.at)
        group = groups.index(log.group) - 1 if log.group in groups else -1
        samples.append(Sample(log.run, log.at[kept], log.loss[kept], group))
    return samples


def group_names(logs: Sequence[LossLog]) -> list[str | None]:
    """Return the groups in order of appearance; the first has no offset."""
    return list(dict.fromkeys(log.group for log in logs))


def truncate(samples: Sequence[Sample], limit: int, *, later: bool) -> list[Sample]:
    """Return the points up to ``limit`` steps, or those after it; logs without such a point are left out."""
    parts: list[Sample] = []
    for part in samples:
        chosen = part.at > limit if later else part.at <= limit
        if chosen.any():
            parts.append(Sample(part.run, part.at[chosen], part.loss[chosen], part.group))
    return parts


def prepare(law: Law, samples: Sequence[Sample]) -> list[Any]:
    """Return the law's terms of every sample."""
    return [law.terms(part.run, part.at) for part in samples]


def _thinned(at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Indices of points at least the spacing apart, counted from the last one; a loss before any step is left out."""
    spacing = max(1, min(SPACING, int(at[-1]) // LEAST_POINTS), int(at[-1]) // MOST_POINTS)
    kept = [at.size - 1]
    while True:
        before = int(np.searchsorted(at, at[kept[-1]] - spacing, side="right")) - 1
        if before < 0 or at[before] < 1:
            return np.array(kept[::-1])
        kept.append(before)
