"""
Momentum, buffer and averaging
==============================

Momentum in its buffer form and in its averaging form is one method; heavy ball differs where steps vary.
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

N = 600

data = li.problems.dataset("breast_cancer")
problem = li.problems.logistic(data.features, data.one_against_rest(), l2=1e-3)
alpha = 0.5 * li.schedules.cosine(N)
eta, c = li.momentum.spa_from_momentum(alpha, 0.9)
common = {"batch_size": 16, "record": N}
runs = {
    "heavy ball 0.9": li.simulate(problem, "heavy_ball", alpha, beta=0.9, **common),
    "momentum 0.9": li.simulate(problem, "momentum", alpha, beta=0.9, **common),
    "the same as averaging": li.simulate(problem, "spa", eta, c=c, **common),
    "schedule-free, lr 5": li.simulate(problem, "schedule_free", np.full(N, 5.0), **common),
}

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for (name, run), style in zip(runs.items(), ("-", "-", ":", "-"), strict=True):
    left.semilogy(run.recorded, run.gaps[0, 0, 0], style, label=name, linewidth=4 if "ball" in name else 1.5)
left.set(xlabel="step k", ylabel=r"$f(x_k) - f_*$", title="logistic regression, batch 16")
left.legend(frameon=False)
right.semilogy(eta, label=r"$\eta_k$")
right.semilogy(c, label="$c_{k+1}$")
right.semilogy(alpha, ":", label=r"learning rate $\alpha_k = c_{k+1} \eta_k$")
right.set(xlabel="step k", title="cosine at momentum 0.9, in averaging form")
_ = right.legend(frameon=False)

# %%
# The two forms agree to rounding, heavy ball does not.

for name in ("the same as averaging", "heavy ball 0.9"):
    difference = np.abs(runs["momentum 0.9"].points - runs[name].points).max()
    print(f"{name}: differs from the buffer form by {difference:.1e} after {N} steps")
