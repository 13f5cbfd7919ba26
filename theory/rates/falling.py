r"""The exact rate for nonincreasing gradient bounds: the least sigma allowed, or one bracketed root.

On [theta_N, infinity), where all lambda_k <= 1, the bound falls as long as d_N < 0 and rises afterwards; d_N changes
sign once. At theta_N itself d_N is never positive, so the sign there decides nothing: the minimum is at theta_N exactly
when G does not fall after the last step that starts the pass anew and d_t >= 0 up to it. ``docs/exact_rate.md`` has the
proof.
"""

import math

import numpy as np

from lastiterate.theory.base.jit import Array, room, run
from lastiterate.theory.base.root import root_above

from .closed_form import chain, distance_term, largest_sigma, slack

__all__ = ["least_falling"]


def least_falling(steps: Array, caps: Array, D: float, *, tuned: bool = False) -> tuple[float, int]:
    """Return the sigma that minimises the bound for caps G_0 >= ... >= G_N > 0, not all equal, and how many steps bind.

    With ``tuned`` it minimises the bound at the best base learning rate, D times the root of the sum of squares over
    s_0: the same rule with D^2 / s_0^4 replaced by that sum over s_0^2. At least one step must be positive.
    """
    ratios = room(steps.size, steps.size)
    flat_from = int(np.argmax(caps == caps[-1]))  # d keeps its sign where G does not fall

    def last_slack(sigma: float, stop: int) -> float:
        first, squares = run(chain, steps, caps, sigma, ratios)
        return run(slack, ratios, caps, squares / first / first if tuned else distance_term(D, first), stop)

    theta, binding = run(largest_sigma, steps, 0.0)
    if caps[binding - 1] == caps[-1] and last_slack(theta, binding - 1) >= 0.0:
        return theta, binding

    def slope(position: float) -> float:
        return last_slack(math.exp(position), flat_from) if position > low else -1.0

    low = math.log(theta)
    reach = 0.5
    while slope(low + reach) < 0.0:
        reach *= 2.0
    return math.exp(root_above(slope, low, low + reach)), steps.size
