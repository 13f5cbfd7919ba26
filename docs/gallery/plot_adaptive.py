"""
Adaptive steps that grow
========================

GradaGrad grows a first step that was too small; AdaGrad cannot. Adam with a schedule for comparison.
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

METHODS = ["adagrad_norm", "adagrad", "gradagrad", "gradagrad_coordinate", "adam"]

data = li.problems.dataset("breast_cancer")
problem = li.problems.logistic(data.features, data.one_against_rest(), l2=1e-3)
grid = problem.D * np.geomspace(1e-5, 1.0, 11)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for method in METHODS:
    run = li.simulate(problem, method, np.ones(2000), base_lr=grid, diagnostics=["step_size"])
    gaps = np.maximum(run.final[0, :, 0] - problem.f_star, 1e-12)
    left.loglog(grid / problem.D, gaps, "o-", label=method)
    if method in ("adagrad_norm", "gradagrad"):
        right.semilogy(run.recorded, run.diagnostics["step_size"][0, 2, 0], label=f"{method}, 1e-4 D")
        right.semilogy(run.recorded, run.diagnostics["step_size"][0, 8, 0], "--", label=f"{method}, 1e-1 D")
left.set(xlabel="base learning rate / D", ylabel="final gap", title="logistic regression, full batch, 2000 steps")
right.set(xlabel="step k", ylabel="effective step", title="the step that is taken")
left.legend(frameon=False)
_ = right.legend(frameon=False)
