r"""Gradient and noise told apart: from the norms of a batch and of one of its micro-batches.

If the gradient of B samples has mean g and variance s^2 / B, then E|g_B|^2 = |g|^2 + s^2 / B. Two sizes B > b give
both, without bias and from norms alone:

    |g|^2 = (B |g_B|^2 - b |g_b|^2) / (B - b),     s^2 = (|g_b|^2 - |g_B|^2) / (1/b - 1/B).
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.notebook import Tabular
from lastiterate.theory.base.result import Result, result
from lastiterate.theory.base.validation import Array, InputError, check_fraction, check_positive
from lastiterate.theory.optimal.refinement import check_norms

from .formats import read_table
from .norms import read_norms

__all__ = ["NoiseLog", "estimate_noise", "read_noise"]


@result
class NoiseLog(Result, Tabular):
    """Gradient and noise along a run.

    Attributes
    ----------
    norms : float64[n]
        g_k, norms of the full gradient, smoothed.
    noise : float64[n]
        s_k, root of the variance of the gradient of one sample.
    batch : float
        The batch of the run, in the unit of the noise.
    """

    _columns = ("norms", "noise")

    norms: Array
    noise: Array
    batch: float

    def __repr__(self) -> str:
        """Show the critical batch, not every number."""
        critical = float(np.median((self.noise / self.norms) ** 2))
        return f"NoiseLog(n={self.norms.size}, batch={self.batch:g}, median critical batch={critical:.4g})"


def estimate_noise(
    norms: npt.ArrayLike, first_norms: npt.ArrayLike, batch: float, micro_batch: float, smoothing: float = 0.1
) -> NoiseLog:
    r"""Return gradient norms and noise from the norms of two batch sizes.

    The squares are averaged over a window before the formulas above are applied: a single pair is far too noisy. (This
    is the estimator behind the gradient noise scale of arXiv 1812.06162.)

    Parameters
    ----------
    norms : array_like, shape (n,)
        Norms of the gradients of whole batches.
    first_norms : array_like, shape (n,)
        Norms of the gradients of one micro-batch of each.
    batch, micro_batch : float
        Their sizes, in one unit; batch above micro_batch.
    smoothing : float
        Width of the window as a fraction of training, 0 to 1.

    Returns
    -------
    NoiseLog

    Raises
    ------
    InputError
        For arguments outside the ranges above, and where a window hides the gradient or the noise.

    Examples
    --------
    >>> log = estimate_noise([3.0, 3.0], [4.0, 4.0], batch=2, micro_batch=1)
    >>> (log.norms**2).round(9), (log.noise**2).round(9)
    (array([2., 2.]), array([14., 14.]))
    """
    whole, part = check_norms(norms), check_norms(first_norms, "first_norms")
    if part.size != whole.size:
        raise InputError("first_norms", f"{part.size} norms", f"{whole.size}, one a step")
    big, small = check_positive(batch, "batch"), check_positive(micro_batch, "micro_batch")
    if small >= big:
        raise InputError("micro_batch", micro_batch, f"a size below that of the batch, {batch}")
    half = int(check_fraction(smoothing, "smoothing") * whole.size / 2)
    square, first_square = _window_means(whole**2, half), _window_means(part**2, half)
    gradient = (big * square - small * first_square) / (big - small)
    variance = (first_square - square) / (1.0 / small - 1.0 / big)
    for name, values in (("gradient", gradient), ("noise", variance)):
        if values.min() <= 0.0:
            where = (
                f"{smoothing:g}: at step {int(np.argmin(values))} the estimate of the squared {name} is not positive"
            )
            raise InputError("smoothing", where, "a wider window, up to 1")
    return NoiseLog(np.sqrt(gradient), np.sqrt(variance), big)


def read_noise(
    path: str | Path,
    *,
    column: str = "grad_norm_l2",
    first_column: str = "grad_norm_first",
    batch: float | None = None,
    micro_batch: float | None = None,
    smoothing: float = 0.1,
) -> NoiseLog:
    """Read gradient and noise from a log, as `GradNormRecorder` writes it when it is told of micro-batches.

    Parameters
    ----------
    path : str or Path
        Any log that `lastiterate.read_norms` reads.
    column, first_column : str
        Columns of the norms of whole batches, and of one micro-batch each.
    batch, micro_batch : float, optional
        Their sizes, where the log has no columns of these names.
    smoothing : float
        As in `estimate_noise`.

    Returns
    -------
    NoiseLog

    Raises
    ------
    InputError
        If a column or a size is missing, and as in `estimate_noise`.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "log.csv")
    ...     _ = file.write_text("step,grad_norm_l2,grad_norm_first\\n0,3.0,4.0\\n1,3.0,4.0\\n")
    ...     log = read_noise(file, batch=2, micro_batch=1)
    >>> (log.norms**2).round(9), (log.noise**2).round(9)
    (array([2., 2.]), array([14., 14.]))
    """
    whole, part = read_norms(path, column=column), read_norms(path, column=first_column)
    sizes = [_size(path, name, given) for name, given in (("batch", batch), ("micro_batch", micro_batch))]
    return estimate_noise(whole.norms, part.norms, sizes[0], sizes[1], smoothing)


def _size(path: str | Path, name: str, given: float | None) -> float:
    if given is not None:
        return check_positive(given, name)
    table = read_table(path)
    if name not in table.columns:
        raise InputError(name, f"no column {name!r} in {path}", "the size, or a log with such a column")
    values = table.series(name, by_rows=True).values
    if values.min() != values.max():
        raise InputError(name, f"{values.min():g} to {values.max():g}", "one size for the whole log")
    return float(values[0])


def _window_means(values: Array, half: int) -> Array:
    """Means over the 2 half + 1 neighbours, fewer at the ends."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(values.size)
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, values.size)
    return (sums[high] - sums[low]) / (high - low)
