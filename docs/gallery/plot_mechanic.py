"""
Mechanic
========

Over six decades of base learning rates the rate in use, base times learned scale, ends within a factor 20.
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

digits = li.problems.dataset("digits")
problem = li.problems.softmax(digits.features, digits.targets)
steps = li.schedules.linear(1500)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")

rates = [1e-2, 1.0, 1e2, 1e4]
run = li.simulate(problem, "mechanic_sgd", steps, base_lr=rates, batch_size=16, diagnostics=["D_estimate"])
for i, rate in enumerate(rates):
    scale = run.diagnostics["D_estimate"][0, i, 0, 1:-1] * rate
    left.loglog(run.recorded[1:-1], np.maximum(scale, 1e-8), label=f"base_lr = {rate:g}")
left.set(title="Mechanic around SGD on digits", xlabel="step", ylabel="base_lr x learned scale")
left.legend(frameon=False)

grid = np.geomspace(1e-4, 1e4, 17)
for method in ("sgd", "mechanic_sgd", "adam", "mechanic_adam"):
    run = li.simulate(problem, method, steps, base_lr=grid, batch_size=16, record=1)
    right.loglog(grid, run.final[0, :, 0], marker=".", label=method)
right.set(title="final loss after 1500 steps", xlabel="base learning rate", ylabel="f", ylim=(5e-3, 1e2))
_ = right.legend(frameon=False)
