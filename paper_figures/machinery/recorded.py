"""The user's folder of recorded runs: which files are which, what the runs did, and whether bounds order them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from lastiterate.experiments.forecast.log import LossLog
from lastiterate.experiments.forecast.reading import read_losses
from lastiterate.theory.base.validation import Array, InputError
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr

__all__ = ["PARTS", "RecordedRun", "agreement", "files_of", "read_each", "read_runs"]

PARTS = ("gradient_norms", "llm_runs", "cooldowns", "loss_curves")
"""Names of the folders inside the data folder."""

PERMUTATIONS = 9999

T = TypeVar("T")


@dataclass(frozen=True)
class RecordedRun:
    """One recorded run with its bound.

    Attributes
    ----------
    name : str
    source : str
        Folder inside the data folder; runs of one source are of one model and have one D.
    n_steps : int
    peak_lr : float
    cooldown : float
        Share of the steps from the last one at the peak on.
    final_loss : float
        Of the final evaluation where the log has one, else the last one logged.
    bound : float
        Exact worst case of SGD with these learning rates, G = 1 and the source's D.
    """

    name: str
    source: str
    n_steps: int
    peak_lr: float
    cooldown: float
    final_loss: float
    bound: float


def files_of(data: Path | None, part: str, endings: Sequence[str]) -> list[Path]:
    """Return the files of one of `PARTS`: in its folder inside ``data``, or in ``data`` if that is this folder.

    A folder without any of the parts counts as one of gradient norms.

    >>> files_of(None, "cooldowns", [".json"])
    []
    """
    if data is None:
        return []
    has_parts = any((data / name).is_dir() for name in PARTS)
    here = data.resolve().name
    folder = data / part
    if not has_parts and (here == part or (part == "gradient_norms" and here not in PARTS)):
        folder = data
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in endings)


def read_each(paths: Iterable[Path], read: Callable[[Path], T]) -> Iterator[tuple[Path, T]]:
    """Yield what can be read, with its path; a file that cannot is left out with a warning that says why."""
    for path in paths:
        try:
            yield path, read(path)
        except InputError as error:
            warnings.warn(f"{path.name} left out: {error}", stacklevel=2)


def read_runs(data: Path | None, part: str) -> list[RecordedRun]:
    """Read the runs of one part and compute their bounds, with one D for the runs of a folder.

    D is the median over the runs of the distance for which a run's own learning rate is theory's best one; no loss
    enters it. Runs without a cooldown are left out of ``cooldowns``, and logs that cannot be read with a warning.
    """
    groups: dict[str, list[tuple[Path, LossLog]]] = {}
    for path, log in read_each(files_of(data, part, (".json", ".csv")), lambda path: read_losses(path, on="final")):
        if part != "cooldowns" or _cooldown(log.steps) > 0.0:
            groups.setdefault(path.parent.name, []).append((path, log))
    return [run for folder, logs in groups.items() for run in _with_bounds(folder, logs)]


def _with_bounds(folder: str, logs: Sequence[tuple[Path, LossLog]]) -> list[RecordedRun]:
    peaks = [float(log.steps.max()) for _, log in logs]
    implied = [
        peak / tune_base_lr(log.steps / peak, D=1.0, G=1.0).base_lr for peak, (_, log) in zip(peaks, logs, strict=True)
    ]
    distance = float(np.median(implied))
    return [
        RecordedRun(
            name=path.stem,
            source=folder,
            n_steps=int(log.steps.size),
            peak_lr=float(f"{peak:.3g}"),
            cooldown=_cooldown(log.steps),
            final_loss=float(log.loss[-1]),
            bound=float(exact_rate(log.steps, D=distance, G=1.0).value),
        )
        for peak, (path, log) in zip(peaks, logs, strict=True)
    ]


def _cooldown(steps: Array) -> float:
    """Return the share of training after the last step at the peak."""
    last = int(np.flatnonzero(steps >= (1.0 - 1e-9) * steps.max())[-1])
    return 1.0 - (last + 1) / steps.size


def agreement(
    bounds: npt.ArrayLike, losses: npt.ArrayLike, strata: Sequence[Any] | None = None
) -> tuple[float, float, int]:
    """Return Kendall's tau of two lists, its one-sided permutation p value, and the number of pairs.

    With strata only pairs within a stratum count, and only orders within strata are permuted: what they have in common
    (a horizon, a peak) then decides nothing. Pairs that tie count as neither; 9,999 permutations, seed 0, the order
    that was found among them.

    Examples
    --------
    >>> tau, p, pairs = agreement([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 2.0, 3.0, 4.0, 6.0, 5.0])
    >>> round(tau, 3), p < 0.02, pairs  # 6 of the 720 orders are as good
    (0.867, True, 15)
    >>> agreement([1.0, 2.0, 1.0, 2.0], [5.0, 6.0, 1.0, 2.0], ["a", "a", "b", "b"])[::2]
    (1.0, 2)
    """
    x, y = np.asarray(bounds, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    names = [0] * x.size if strata is None else list(strata)
    if x.shape != y.shape or len(names) != x.size:
        raise InputError("losses", f"{y.size} losses, {len(names)} strata", f"one for each of {x.size} bounds")
    rng = np.random.default_rng(0)
    sums, pairs = np.zeros(PERMUTATIONS + 1), 0
    for name in dict.fromkeys(names):
        rows = np.array([other == name for other in names])
        first, second = np.triu_indices(int(rows.sum()), 1)
        pairs += first.size
        signs = np.sign(x[rows][first] - x[rows][second])
        orders = rng.permuted(np.tile(y[rows], (PERMUTATIONS, 1)), axis=1)
        shuffled = np.vstack([y[rows], orders])
        sums += np.sign(shuffled[:, first] - shuffled[:, second]) @ signs
    if not pairs:
        return float("nan"), float("nan"), 0
    return float(sums[0] / pairs), float(np.mean(sums >= sums[0] - 1e-9)), pairs
