"""
Bound and compare
=================

How good is a schedule in the worst case, what does a wrong base learning rate cost, and where does the schedule lose?
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

N = 1000
names = ["linear", "one_minus_sqrt", "cosine", "wsd:cooldown=0.2", "constant"]
schedules = {name: li.schedules.parse(name, N) for name in names}

# %%
# The exact rate of one schedule at its best base learning rate. A result shows itself at the end of a cell:

tuned = li.tune_base_lr(schedules["cosine"], D=1.0, G=1.0)
rate = li.exact_rate(tuned.base_lr * schedules["cosine"], D=1.0, G=1.0)
rate

# %%
# All of them, each at its own best base learning rate, in units of DG/sqrt(N+1), the optimum over all methods.

table = li.compare(schedules)
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
li.plots.schedules(schedules, ax=left)
_ = li.plots.rates({row.schedule: row.exact for row in table}, ax=right)

# %%
# In the worst case every schedule is equally sensitive to its base learning rate: a factor t too much or too little
# costs (t + 1/t)/2, so a factor 2 costs 25%.

factors = np.geomspace(0.5, 4.0, 31)
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for name, steps in schedules.items():
    best = li.tune_base_lr(steps)
    rates = [li.exact_rate(factor * best.base_lr * steps).value / best.value for factor in factors]
    axes.semilogx(factors, rates, label=name, alpha=0.7)
axes.semilogx(factors, (factors + 1 / factors) / 2, "k:", label="(t + 1/t)/2")
axes.set(xlabel="factor t on the best base learning rate", ylabel="rate / best rate")
_ = axes.legend(frameon=False)

# %%
# Where does cosine lose against the optimum? The gradient of the rate in every single step says so: where it is
# negative a larger step would help.

_ = rate.plot()
