"""What a set of runs allows one to say.

=====================  =============================================================================================
`differences`          paired differences with Student's t interval, equivalence at a margin, detectable differences
`contrasts`            contrasts named before the run in a TOML file (`read_plan`), compared with Holm's correction
`ranks`                mean ranks over workloads with Friedman's test and Nemenyi's critical difference
`rounding`             two digits of a number, as people read them
`response`             the loss against the base learning rate, and whether the best of a grid lies inside it
`theory.base.intervals`  Student's t interval of a mean, order-statistic interval of a median with its true level
=====================  =============================================================================================

The usual way: ``compare({name: final values by seed}, read_plan("plan.toml"))``. A difference is always candidate minus
reference, in the metric's own unit. A `Difference` has the t interval and p value of one statistic, uncorrected; a
`Comparison` has both corrected over the contrasts, by Holm's method, and they too say the same.
"""

from lastiterate.theory.base.intervals import Interval, median_interval, t_interval

from .contrasts import Comparison, Contrast, Plan, compare, default_plan, read_plan
from .differences import Difference, detectable_difference, equivalence, holm, holm_confidence, paired_difference
from .ranks import Ranking, critical_difference, rank_correlation, rank_over_workloads
from .response import Response, as_losses, fit_response, where_is_best

__all__ = [
    "Comparison",
    "Contrast",
    "Difference",
    "Interval",
    "Plan",
    "Ranking",
    "Response",
    "as_losses",
    "compare",
    "critical_difference",
    "default_plan",
    "detectable_difference",
    "equivalence",
    "fit_response",
    "holm",
    "holm_confidence",
    "median_interval",
    "paired_difference",
    "rank_correlation",
    "rank_over_workloads",
    "read_plan",
    "t_interval",
    "where_is_best",
]
