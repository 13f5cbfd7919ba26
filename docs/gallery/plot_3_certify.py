"""
Certify
=======

A rate is a claim about every convex function with bounded subgradients. Its proof is an array of multipliers; and a
function that attains the rate shows that no proof can be better.
"""

import matplotlib.pyplot as plt
import numpy as np

import lastiterate as li

steps = 0.05 * li.schedules.wsd(60, cooldown=0.2)
rate = li.exact_rate(steps, D=1.0, G=1.0)
rate

# %%
# The proof, checked in exact rational arithmetic; ``certificate.to_json(path)`` writes it for somebody else, whose
# checker needs nothing but NumPy.

certificate = rate.certificate()
proven = certificate.prove()
print(f"f(x_N) - f* <= {float(proven):.12f}, the rate says {rate.value:.12f}")

# %%
# The other half: a function on which SGD with these steps ends at the rate.

worst = rate.worst_case()
run = li.simulate(worst, "sgd", steps, record=60)
print(f"measured {run.gaps[0, 0, 0, -1]:.12f}")
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
axes.plot(run.recorded, run.gaps[0, 0, 0], label="SGD on the worst-case function")
axes.axhline(rate.value, color="k", linestyle=":", label="exact rate")
axes.set(xlabel="step k", ylabel="$f(x_k) - f_*$")
_ = axes.legend(frameon=False)

# %%
# A third route, for any method with fixed steps: the semidefinite program over all functions at once.

short = 0.2 * li.schedules.wsd(10, cooldown=0.2)
solved = li.worst_case(li.step_matrix.sgd(short))
np.testing.assert_allclose(solved.value, li.exact_rate(short).value, rtol=1e-6)
solved
