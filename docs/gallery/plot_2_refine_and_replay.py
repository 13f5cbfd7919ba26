"""
Refine and replay
=================

Record gradient norms in one run, refine the schedule from them, and replay both. The run here is subgradient descent on
a convex problem whose minimum is known, so that gaps are exact; :doc:`/replay` does the same for neural networks.
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

N = 2000
rng = np.random.default_rng(0)
problem = li.problems.l1_regression(
    rng.normal(size=(200, 20)), rng.standard_t(2, size=200), x0=np.full(20, 3.0)
)  # targets with heavy tails
grid = np.geomspace(1e-3, 10.0, 49)

# %%
# A first run with linear decay, and the norms of its gradients at every step.

first = li.simulate(problem, "sgd", "linear", n_steps=N, base_lr=grid, diagnostics=["grad_l2"], record=N)
best = first.sweep()[0]
norms = first.diagnostics["grad_l2"][0, int(np.argmin(np.abs(grid - best.base_lr))), 0, :N]
best

# %%
# The schedule that is best for these norms. The gain is what theory predicts over linear decay on the same norms.

refined = li.refine(norms, rule="sgd")
refined

# %%

figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
li.plots.norms(norms, refined.smoothed, ax=left)
_ = li.plots.refinement(refined, ax=right)

# %%
# The replay: both schedules over the same base learning rates. What counts is the measured gap at each schedule's best
# base learning rate, not the prediction.

run = li.simulate(problem, "sgd", {"linear": li.schedules.linear(N), "refined": refined.steps}, base_lr=grid)
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, gaps in zip(run.schedules, run.final[:, :, 0] - problem.f_star, strict=True):
    axes.loglog(grid, gaps, "o-", label=name)
axes.set(xlabel="base learning rate", ylabel="final gap")
_ = axes.legend(frameon=False)

# %%
# Here refinement does not help: theory's gain is a ratio of worst cases, over all functions with such norms, and this
# one function is kinder than the worst. That is why a refined schedule should be replayed before it is trusted.

for found in run.sweep():
    print(f"{found.schedule:8s} base_lr {found.base_lr:.3g}, gap {found.gap:.2e}")

# %%
# All runs as a table, one row a schedule, base learning rate and seed; ``run.to_xarray()`` has the curves with names.

run.to_pandas().head()
