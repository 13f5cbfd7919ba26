"""The tables of docs/momentum.md: worst cases of momentum and dual averaging as intervals.

``python -m lastiterate.paper_figures.machinery.interval_tables docs/momentum.md`` computes the bounds anew and rewrites
what stands between the two marks. The semidefinite programs take minutes: their values are kept beside the page, in
``momentum_sdp.json``, and only those that are missing are solved (``--limit`` seconds each).
"""

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import lastiterate as li
from lastiterate.theory.base.files import write_atomically
from lastiterate.theory.base.validation import Array
from lastiterate.theory.methods.averaging import spa_from_momentum
from lastiterate.theory.rates.methods.certified import CertifiedRate
from lastiterate.theory.rates.methods.dual_averaging import dual_averaging_rate
from lastiterate.theory.rates.methods.last_row import averaging_last_row
from lastiterate.theory.rates.methods.momentum import momentum_rate

__all__ = ["dual_averaging_case", "momentum_case", "tables"]

BEGIN, END = "<!-- interval tables: begin -->", "<!-- interval tables: end -->"
FAMILIES = ("constant", "linear", "cosine", "wsd")
REACH = 80  # steps up to which the semidefinite program is solved
ACCURATE = 1e-6
POWERS = {"constant": 0.0, "sqrt(k)": 0.5, "k": 1.0}


def momentum_case(n_steps: int, beta: float, family: str) -> Array:
    """Return learning rates of momentum whose base learning rate is best for SGD on the method's last row."""
    shape = li.schedules.parse(family, n_steps)
    return shape * li.tune_base_lr(averaging_last_row(*spa_from_momentum(shape, beta))).base_lr


def dual_averaging_case(n_steps: int, weights: str, scaling: str) -> tuple[Array, Array]:
    """Return weights and scalings, powers of k, the weights scaled to be best for SGD on the method's last row."""
    k = np.arange(1.0, n_steps + 1.0)
    lam, beta = k ** POWERS[weights], k ** POWERS[scaling]
    return lam * li.tune_base_lr(lam / beta[-1]).base_lr, beta


def tables(kept: dict[str, float], limit: float) -> str:
    """Return both tables in Markdown; values of the program that are missing are solved and added to ``kept``."""
    head = "| N | {} | {} | program | upper | by | lower | upper / program | upper / lower |\n" + "|---" * 9 + "|\n"
    text = head.format("beta", "schedule")
    for n in (20, 50, 80, 120, 1000):
        for beta in (0.5, 0.9):
            for family in FAMILIES:
                steps = momentum_case(n, beta, family)
                rate = momentum_rate(steps, beta, search_limit=20)
                matrix = partial(li.step_matrix.momentum, steps, beta)
                worst = _program(f"momentum {n} {beta} {family}", n, matrix, kept, limit)
                text += _row((n, beta, family), worst, rate)
    text += "\n" + head.format("weights", "scaling")
    for n in (10, 20, 40, 100, 1000, 30_000):
        for weights in ("constant", "sqrt(k)"):
            for scaling in POWERS:
                lam, beta = dual_averaging_case(n, weights, scaling)
                rate = dual_averaging_rate(lam, beta, search_limit=0)
                matrix = partial(li.step_matrix.dual_averaging, lam, beta)
                worst = _program(f"dual averaging {n} {weights} {scaling}", n, matrix, kept, limit)
                text += _row((n, weights, scaling), worst, rate)
    return text


def _program(
    name: str, n_steps: int, step_matrix: Callable[[], Array], kept: dict[str, float], limit: float
) -> float | None:
    """Return the value of the semidefinite program, or None where it was not reached."""
    if name not in kept and n_steps <= REACH:
        found = li.worst_case(step_matrix(), progress=False, time_limit=limit)
        if found.relative_gap < ACCURATE:
            kept[name] = found.value
    return kept.get(name)


def _row(case: tuple[Any, ...], worst: float | None, rate: CertifiedRate) -> str:
    cells = [*map(str, case), f"{worst:.6f}" if worst else "", f"{rate.value:.6f}", rate.method, f"{rate.lower:.6f}"]
    cells += [f"{rate.value / worst:.5f}" if worst else "", f"{rate.value / rate.lower:.4f}"]
    return f"| {' | '.join(cells)} |\n"


def _rewrite(page: Path, limit: float) -> None:
    """Put new tables between the marks of the page, and the values of the programs beside it."""
    values = page.with_name(f"{page.stem}_sdp.json")
    kept: dict[str, float] = json.loads(values.read_text(encoding="utf-8")) if values.exists() else {}
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    text = tables(kept, limit)
    write_atomically(values, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    write_atomically(page, f"{before}{BEGIN}\n\n{text}\n{END}{after}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--limit", type=float, default=600.0)
    given = parser.parse_args()
    _rewrite(given.page, given.limit)
