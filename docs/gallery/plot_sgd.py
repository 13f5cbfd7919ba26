"""
SGD with five schedules
=======================

Five schedules on l1 regression: gaps at each schedule's best base learning rate, and how wide it is good.
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

SCHEDULES = ["linear", "cosine", "wsd:cooldown=0.2", "inverse_sqrt", "constant"]

data = li.problems.dataset("diabetes", scale="standard")
problem = li.problems.l1_regression(data.features, (data.targets - data.targets.mean()) / data.targets.std())
grid = np.geomspace(1e-3, 10.0, 25)
run = li.simulate(problem, "sgd", SCHEDULES, n_steps=2000, base_lr=grid, seeds=5, batch_size=16)

# %%
# The run draws its own curves; the final gaps over the grid show what a wrong base learning rate costs.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
run.plot(left)
for name, gaps in zip(run.schedules, np.median(run.final, axis=2) - problem.f_star, strict=True):
    right.loglog(grid, gaps, label=name)
right.set(xlabel="base learning rate", ylabel="median final gap", title="sensitivity")
_ = right.legend(frameon=False)

# %%
# The same in numbers: how many decades of base learning rates stay within 10% of the best gap.

for best in run.sweep():
    print(f"{best.schedule:18s} best base_lr {best.base_lr:.3g}, gap {best.gap:.2e}, {best.decades:.2f} decades wide")
