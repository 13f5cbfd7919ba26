"""
Distance estimation
===================

How the estimate d grows from 1e-6 and settles near D, and what the gap and its bound do meanwhile.
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

cancer = li.problems.dataset("breast_cancer", scale="standard")
rng = np.random.default_rng(0)
matrix, targets = rng.normal(size=(200, 20)), rng.normal(size=200)
cases = {
    "|x|": li.problems.absolute_value(1.0),
    "l1 regression": li.problems.l1_regression(matrix, targets, x0=np.ones(20)),
    "breast cancer, logistic, l2 = 0.01": li.problems.logistic(cancer.features, cancer.one_against_rest(), l2=0.01),
}
figure, axes = plt.subplots(2, 3, figsize=(11, 6), layout="constrained", sharex=True)
for (name, problem), (top, bottom) in zip(cases.items(), axes.T, strict=True):
    for method in ("dadapt_da", "dadapt_gd", "prodigy_da", "resetting", "dog"):
        run = li.simulate(problem, method, np.ones(3000), record=300, diagnostics=["D_estimate"])
        estimate = run.diagnostics["D_estimate"][0, 0, 0, :-1] / problem.D
        (line,) = top.loglog(run.recorded[:-1] + 1, estimate, label=method)
        gaps = run.diagnostics.get("f_average", run.f)[0, 0, 0] - problem.f_star
        bottom.loglog(run.recorded[1:], np.maximum(gaps[1:], 1e-12), color=line.get_color())
        if run.bound is not None:
            bottom.plot(3000, run.bound[0, 0, 0], marker="v", color=line.get_color())
    top.axhline(1.0, color="gray", linestyle=":")
    top.set(title=name, ylabel="d / D")
    bottom.set(xlabel="step", ylabel="f - f* of what is returned")
axes[0, 0].legend(frameon=False, loc="lower right")
_ = axes[1, 0].text(0.03, 0.3, "triangles:\nthe run's bound", transform=axes[1, 0].transAxes)
