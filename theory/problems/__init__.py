"""Convex Lipschitz problems with everything a rate needs: value, subgradient, G, minimum f*, x* and D.

Every problem is one frozen `Problem`: a *kind* of loss, a matrix (dense or CSR), targets, an l2 term and a start.

=================  =====================================================================
kind               f(x), rows a_i of the matrix, targets b_i
=================  =====================================================================
``absolute``       mean of \\|a_i x - b_i\\|
``hinge``          mean of max(0, 1 - b_i a_i x), b_i = +-1
``logistic``       mean of log(1 + exp(-b_i a_i x)), b_i = +-1
``softmax``        mean of logsumexp(W a_i) - (W a_i)[b_i], x = W.ravel(), b_i = 0..K-1
``squared``        mean of (a_i x - b_i)^2 / 2
``max_affine``     max of a_i x + b_i
``chain``          max of 0 and <g_t, x>, g_t = alpha_0 e_0 + ... + alpha_{t-1} e_{t-1} + beta_t e_t
=================  =====================================================================

plus ``l2 / 2 ||x||^2``. Minima are solved to 1e-10 on first use (`minimum`) and kept in memory, or in the
folder given as ``cache``.

>>> problem = absolute_value(x0=3.0)
>>> problem.value(problem.x0), problem.G, problem.f_star, problem.D
(3.0, 1.0, 0.0, 3.0)
"""

from .closed_form import absolute_value, quadratic, weighted_absolute
from .data import Dataset, dataset, load_libsvm
from .files import read_function, write_function
from .pieces import chain, max_affine, max_coordinate, worst_case_function
from .problem import Minimum, Problem, ProblemArrays
from .samples import finite_sum, hinge, l1_regression, least_squares, logistic, softmax

__all__ = [
    "absolute_value",
    "weighted_absolute",
    "l1_regression",
    "hinge",
    "logistic",
    "softmax",
    "least_squares",
    "finite_sum",
    "quadratic",
    "max_affine",
    "max_coordinate",
    "chain",
    "worst_case_function",
    "Problem",
    "ProblemArrays",
    "Minimum",
    "Dataset",
    "dataset",
    "load_libsvm",
    "read_function",
    "write_function",
]
