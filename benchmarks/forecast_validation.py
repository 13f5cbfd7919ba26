"""Validate forecasts on recorded runs of language models: ``python benchmarks/forecast_validation.py DATA > PAGE``.

Names after DATA choose sections: split, cooldowns, chosen, longer, coverage.

DATA holds ``loss_curves/25M`` and ``loss_curves/100M`` (columns step, lr, loss; arXiv 2503.12811), ``cooldowns`` and
``llm_runs`` (JSON histories; arXiv 2501.18965). Every number of the page is computed here; times are CPU seconds.
"""

import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from lastiterate.experiments.forecast.fitting import fit_losses
from lastiterate.experiments.forecast.log import LossLog
from lastiterate.experiments.forecast.reading import read_losses
from lastiterate.experiments.forecast.result import ForecastWarning, LossFit
from lastiterate.theory.laws.registry import LAWS

FIRST_THREE = ("constant_24000", "cosine_24000", "wsdcon_9")
SIZES = ("25M", "100M")
SETTLED = 4000  # steps after which points of curves count for coverage
SPACING = 512


def main(folder: Path, wanted: Sequence[str]) -> None:
    """Print the page, or the wanted sections of it."""
    warnings.simplefilter("ignore", ForecastWarning)  # the errors of such moves are what is measured
    curves = {size: curves_of(folder / "loss_curves" / size) for size in SIZES}
    finals = [read_losses(path, on="final") for path in sorted((folder / "cooldowns").glob("cooldown*.json"))]
    long_runs = sorted((folder / "llm_runs").glob("*.json"))
    sections: dict[str, Callable[[], None]] = {
        "split": lambda: published_splits(curves),
        "cooldowns": lambda: cooldowns(finals),
        "chosen": lambda: chosen_one_after_the_other(finals),
        "longer": lambda: other_runs(finals, [read_losses(path, on="final") for path in long_runs]),
        "coverage": lambda: coverage(curves, finals, [read_losses(path) for path in long_runs]),
    }
    if not wanted:
        print("# Forecasts: validation\n")
        print("Written by `benchmarks/forecast_validation.py`; errors are mean absolute errors in nats.")
    for name in wanted or sections:
        sections[name]()


def curves_of(folder: Path) -> list[LossLog]:
    """Read nine curves; decay and initial scale are assumed."""
    return [read_losses(path, weight_decay=0.1, init_std=0.02) for path in sorted(folder.glob("*.csv"))]


def published_splits(curves: dict[str, list[LossLog]]) -> None:
    """Go through the sizes."""
    for size, logs in curves.items():
        published_split(size, logs)


def published_split(size: str, logs: Sequence[LossLog]) -> None:
    """Fit three curves with every law and predict the other six."""
    fitted = [log for log in logs if log.name in FIRST_THREE]
    others = [log for log in logs if log.name not in FIRST_THREE]
    began = time.process_time()
    auto = fit_losses(fitted)
    seconds = time.process_time() - began
    rows: list[Sequence[object]] = []
    for law in LAWS:
        began = time.process_time()
        fit = fit_losses(fitted, law)
        took = time.process_time() - began
        errors = [curve_error(fit, log) for log in others]
        score = next(score for score in auto.scores if score.law == law)
        each = ", ".join(nats(error) for error in errors)
        rows.append((law, nats(score.in_sample), nats(np.mean(errors)), nats(score.left_out), each, f"{took:.1f}"))
    heading(f"Published split, {size}")
    print(f"Fitted on {', '.join(FIRST_THREE)}. `auto` takes {auto.law}, in {seconds:.1f} s.\n")
    table(("law", "fitted", "test", "left out", "each of " + ", ".join(log.name for log in others), "seconds"), rows)
    began = time.process_time()
    fit_losses(logs, "norm_memory")
    nine = time.process_time() - began
    began = time.process_time()
    fit_losses(logs)
    print(f"\nNine curves: norm_memory in {nine:.1f} s, `auto` in {time.process_time() - began:.1f} s.")


def cooldowns(finals: Sequence[LossLog]) -> None:
    """Predict left-out last losses, another peak and a longer horizon."""
    low, high = split(finals, [log.peak < 7e-4 for log in finals])
    short, long = split(finals, [log.steps.size < 30_000 for log in finals])
    rows: list[Sequence[object]] = []
    for law in LAWS:
        fit = fit_losses(finals, law, "final")
        moves = [final_error(fit_losses(a, law, "final"), b) for a, b in ((low, high), (high, low), (short, long))]
        rows.append((law, nats(fit.error), nats(fit.score.left_out), *map(nats, moves)))
    heading(f"{len(finals)} cooldown runs: last losses")
    table(("law", "fitted", "left out", "5e-4 to 1e-3", "1e-3 to 5e-4", "up to 25,000 steps to 35,000"), rows)


def chosen_one_after_the_other(finals: Sequence[LossLog]) -> None:
    """Let `next_run` choose up to eight runs, from several first ones."""
    rows: dict[int, list[tuple[float, float, float]]] = {4: [], 6: [], 8: []}
    for first in range(0, len(finals), 8):
        chosen = [first]
        while len(chosen) < 8:
            fit = fit_losses([finals[i] for i in chosen], "norm_memory", "final")
            rest = [i for i in range(len(finals)) if i not in chosen]
            chosen.append(rest[fit.next_run([finals[i] for i in rest])])
            if len(chosen) in rows:
                fit = fit_losses([finals[i] for i in chosen], "norm_memory", "final")
                rest = [finals[i] for i in range(len(finals)) if i not in chosen]
                predicted = np.array([fit.forecast(log.steps).final for log in rest])
                measured = np.array([log.loss[-1] for log in rest])
                errors, order = np.abs(predicted - measured), stats.kendalltau(predicted, measured)
                rows[len(chosen)].append((errors.mean(), errors.max(), float(order.statistic)))
    heading("Runs chosen one after the other by `next_run`")
    spans = [(runs, *(span(column) for column in zip(*found, strict=True))) for runs, found in rows.items()]
    table(("runs", "error on the others", "largest", "Kendall tau"), spans)


def other_runs(finals: Sequence[LossLog], long_runs: Sequence[LossLog]) -> None:
    """Predict three longer runs of the same model from the last losses of the others."""
    fit = fit_losses(finals, "norm_memory", "final")
    heading("Three runs of 50,000 steps from the 36 last losses")
    rows: list[Sequence[object]] = []
    for log in long_runs:
        forecast = fit.forecast(log.steps)
        said = "; ".join(forecast.notes)
        rows.append((log.name, nats(log.loss[-1]), nats(forecast.final), nats(forecast.low), nats(forecast.high), said))
    table(("run", "measured", "predicted", "low", "high", "said"), rows)


def coverage(curves: dict[str, list[LossLog]], finals: Sequence[LossLog], long_runs: Sequence[LossLog]) -> None:
    """Count how often nominal 80% intervals hold what was left out."""
    heading("Coverage of nominal 80% intervals on runs left out")
    rng = np.random.default_rng(1)
    rows: list[Sequence[object]] = []
    for size, logs in curves.items():
        names = [log.name for log in logs]
        rows.append(covered(f"{size}, published three", logs, [[names.index(name) for name in FIRST_THREE]]))
        rows.append(covered(f"{size}, eight of nine", logs, leave_one(len(logs))))
        for count in (3, 5):
            chosen = [rng.choice(len(logs), count, replace=False).tolist() for _ in range(7)]
            rows.append(covered(f"{size}, {count} random ones, seven times", logs, chosen))
    rows.append(covered("cooldowns, one left out", finals, leave_one(len(finals)), "final"))
    for count in (6, 8, 12, 20, 30):
        chosen = [rng.choice(len(finals), count, replace=False).tolist() for _ in range(8)]
        rows.append(covered(f"cooldowns, {count} random ones, eight times", finals, chosen, "final"))
    low = [i for i, log in enumerate(finals) if log.peak < 7e-4]
    high = [i for i in range(len(finals)) if i not in low]
    rows.append(covered("cooldowns, one peak predicts the other", finals, [low, high], "final"))
    short = [i for i, log in enumerate(finals) if log.steps.size < 30_000]
    rows.append(covered("cooldowns, up to 25,000 steps predict 35,000", finals, [short], "final"))
    rows.append(covered("two of three 50,000-step runs", long_runs, leave_one(len(long_runs))))
    table(("fitted on", "points", "last losses", "runs left out", "mean width"), rows)


def covered(name: str, logs: Sequence[LossLog], chosen: Iterable[Sequence[int]], on: str = "curve") -> Sequence[object]:
    """Return the shares of points and of last losses inside the intervals, every left-out run counted the same."""
    inside: list[float] = []
    last: list[float] = []
    widths: list[float] = []
    for kept in chosen:
        fit = fit_losses([logs[i] for i in kept], "norm_memory", on)
        for log in (log for i, log in enumerate(logs) if i not in kept):
            low, high = fit.interval(log.steps)
            at, loss = (log.at[-1:], log.loss[-1:]) if on == "final" else thinned(log)
            held = (low[at] <= loss) & (loss <= high[at])
            inside.append(float(held.mean()))
            last.append(float(held[-1]))
            widths.append(float(np.mean(high[at] - low[at])))
    points = "" if on == "final" else f"{np.mean(inside):.2f}"
    return name, points, f"{np.mean(last):.2f}", len(last), nats(np.mean(widths))


def thinned(log: LossLog) -> tuple[np.ndarray, np.ndarray]:
    """Return the points after the first steps, 512 apart, with the last one."""
    kept = [log.at.size - 1]
    for i in range(log.at.size - 1, -1, -1):
        if log.at[i] >= SETTLED and log.at[kept[-1]] - log.at[i] >= SPACING:
            kept.append(i)
    return log.at[kept[::-1]], log.loss[kept[::-1]]


def leave_one(count: int) -> list[list[int]]:
    """Return all choices of all but one."""
    return [[i for i in range(count) if i != out] for out in range(count)]


def split(logs: Sequence[LossLog], first: Sequence[bool]) -> tuple[list[LossLog], list[LossLog]]:
    """Cut logs into those marked and the others."""
    marked = list(zip(logs, first, strict=True))
    return [log for log, chosen in marked if chosen], [log for log, chosen in marked if not chosen]


def curve_error(fit: LossFit, log: LossLog) -> float:
    """Return the mean absolute error at all logged points."""
    return float(np.mean(np.abs(fit.predict(log.steps)[log.at] - log.loss)))


def final_error(fit: LossFit, logs: Sequence[LossLog]) -> float:
    """Return the mean absolute error of last losses."""
    return float(np.mean([abs(fit.forecast(log.steps).final - log.loss[-1]) for log in logs]))


def nats(value: float) -> str:
    """Write a loss or an error."""
    return f"{value:.4f}"


def span(values: Sequence[float]) -> str:
    """Write the least and the largest value."""
    return f"{min(values):.4f} to {max(values):.4f}"


def heading(text: str) -> None:
    """Print a heading."""
    print(f"\n## {text}\n", flush=True)


def table(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table."""
    print(f"| {' | '.join(names)} |\n|{'---|' * len(names)}")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
