"""SGD with five schedules on l1 regression: gaps at each schedule's best base learning rate, and how wide it is good.

Run: ``python docs/gallery/plot_sgd.py [OUTPUT.png]``
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import lastiterate as li

SCHEDULES = ["linear", "cosine", "wsd:cooldown=0.2", "inverse_sqrt", "constant"]


def main(path: str = "sgd.png") -> None:
    data = li.problems.dataset("diabetes", scale="standard")
    problem = li.problems.l1_regression(data.features, (data.targets - data.targets.mean()) / data.targets.std())
    grid = np.geomspace(1e-3, 10.0, 25)
    run = li.simulate(problem, "sgd", SCHEDULES, n_steps=2000, base_lr=grid, seeds=5, batch_size=16)
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    run.plot(left)
    for name, gaps in zip(run.schedules, np.median(run.final, axis=2) - problem.f_star, strict=True):
        right.loglog(grid, gaps, label=name)
    right.set(xlabel="base learning rate", ylabel="median final gap", title="sensitivity")
    right.legend(frameon=False)
    figure.savefig(path, dpi=120)
    for best in run.sweep():
        print(
            f"{best.schedule:18s} best base_lr {best.base_lr:.3g}, gap {best.gap:.2e}, {best.decades:.2f} decades wide"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
