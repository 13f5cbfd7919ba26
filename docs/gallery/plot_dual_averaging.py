"""
Dual averaging, MDA and MADGRAD
===============================

Beside SGD, each at the best base learning rate of a grid.
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

METHODS = ["sgd", "momentum", "dual_averaging", "mda", "madgrad", "mirror_madgrad"]

data = li.problems.dataset("digits")
problem = li.problems.softmax(data.features, data.targets, l2=1e-4)
grid = np.geomspace(1e-3, 1e3, 13)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for method in METHODS:
    run = li.simulate(problem, method, "linear", n_steps=1500, base_lr=grid, batch_size=16, record=60)
    best = run.sweep()[0]
    index = int(np.argmin(np.abs(grid - best.base_lr)))
    accuracy = problem.accuracy(run.points[0, index, 0])
    left.semilogy(run.recorded, run.gaps[0, index, 0], label=f"{method}, base_lr {best.base_lr:.3g}")
    right.loglog(grid, run.final[0, :, 0] - problem.f_star, "o-", label=method)
    print(f"{method:15s} base_lr {best.base_lr:.3g}, gap {best.gap:.3g}, train accuracy {accuracy:.4f}")
left.set(xlabel="step k", ylabel=r"$f(x_k) - f_*$", title="digits, softmax regression, batch 16, linear decay")
right.set(xlabel="base learning rate", ylabel="final gap", title="sensitivity")
_ = left.legend(frameon=False)
