"""
Polyak-style steps
==================

With interpolation the plain Polyak step wins, without it the moving target does. Left and middle: one logistic problem,
without and with l2; right: final loss over the base learning rate on digits, where MoMo only uses it as a cap.
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

rng = np.random.default_rng(0)
features = rng.normal(size=(50, 200))
labels = np.sign(features @ rng.normal(size=200))
figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")

for axis, l2 in zip(axes[:2], (0.0, 0.02), strict=True):
    problem = li.problems.logistic(features, labels, l2=l2)
    for method, base_lr in (("sgd", 0.05), ("sp", 1.0), ("taps", 1.0), ("motaps", 0.99)):
        run = li.simulate(problem, method, np.ones(2500), base_lr=base_lr, batch_size=1, replacement=True, seeds=5)
        axis.semilogy(run.recorded / 50, np.median(np.maximum(run.gaps[0, 0], 1e-9), axis=0), label=method)
    axis.set(title=f"logistic, l2 = {l2:g}", xlabel="epoch", ylabel="f - f* (median of 5 seeds)")
    axis.legend(frameon=False)

digits = li.problems.dataset("digits")
problem = li.problems.softmax(digits.features, digits.targets)
rates = np.geomspace(1e-2, 1e4, 13)
for method, more in (("momentum", {"dampening": 0.9}), ("momo", {}), ("adam", {}), ("momo_adam", {})):
    run = li.simulate(problem, method, np.ones(600), base_lr=rates, batch_size=32, record=1, **more)
    axes[2].loglog(rates, run.final[0, :, 0], label=method)
axes[2].axhline(np.log(10), color="gray", linestyle=":", label="at the start")
axes[2].set(title="digits, 600 steps", xlabel="base learning rate", ylabel="final loss", ylim=(1e-2, 1e3))
_ = axes[2].legend(frameon=False)
