"""A recorded run for a forecast: the learning rate of every step, and the losses where they were logged."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_positive, check_steps, check_vector
from lastiterate.theory.laws.protocol import Run

__all__ = ["LossLog"]


@dataclass(frozen=True, eq=False, repr=False)
class LossLog:
    """A run with its losses.

    Parameters
    ----------
    steps : array_like, shape (N,)
        Learning rate of every step.
    at : array_like of int, shape (m,)
        Numbers of steps after which a loss was logged, increasing, from 0 to N.
    loss : array_like, shape (m,)
        The losses, positive.
    weight_decay : float, optional
        Decoupled weight decay of the optimiser; zero for none, None for unknown.
    init_std : float, optional
        Root mean square of the weights at the start; needed where ``weight_decay`` is given and not zero.
    group : str, optional
        Name of the tokeniser or evaluation set; the losses of one group differ from those of another by a constant.
    name : str
        For messages.
    notes : tuple of str
        What was assumed when the log was read.

    Raises
    ------
    InputError
        For arguments outside these ranges; a loss that is not finite is named with its place.

    Examples
    --------
    >>> import numpy as np
    >>> LossLog(np.full(100, 1e-3), at=[50, 100], loss=[4.0, 3.5], weight_decay=0.1, init_std=0.02)
    LossLog('run', n_steps=100, n_losses=2, peak=0.001, last loss=3.5)
    """

    steps: npt.NDArray[np.float64]
    at: npt.NDArray[np.int64]
    loss: npt.NDArray[np.float64]
    weight_decay: float | None = None
    init_std: float | None = None
    group: str | None = None
    name: str = "run"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check all arguments and store read-only copies of the arrays."""
        steps = check_steps(self.steps).copy()
        if steps.max() == 0.0:
            raise InputError("steps", "zeros", "learning rates, one of them positive")
        at = _check_places(self.at, steps.size)
        loss = _check_losses(self.loss, at)
        for array in (steps, at, loss):
            array.flags.writeable = False
        for name in ("weight_decay", "init_std"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, check_positive(getattr(self, name), name, allow_zero=name[0] == "w"))
        if self.weight_decay and self.init_std is None:
            expected = "the root mean square of the weights at the start, beside weight_decay"
            raise InputError("init_std", None, expected)
        if self.group is not None and not isinstance(self.group, str):
            raise InputError("group", self.group, "a name or None")
        object.__setattr__(self, "steps", steps)
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "loss", loss)

    def __repr__(self) -> str:
        """Show the size and the end of the run."""
        return (
            f"LossLog({self.name!r}, n_steps={self.steps.size}, n_losses={self.at.size}, "
            f"peak={self.peak:.4g}, last loss={self.loss[-1]:.4g})"
        )

    @property
    def peak(self) -> float:
        """Largest learning rate."""
        return float(self.steps.max())

    @property
    def run(self) -> Run:
        """What a law sees."""
        unknown = float("nan")
        decay = unknown if self.weight_decay is None else self.weight_decay
        return Run(self.steps, decay, unknown if self.init_std is None else self.init_std)


def _check_places(at: npt.ArrayLike, n_steps: int) -> npt.NDArray[np.int64]:
    """Return increasing integers from 0 to ``n_steps``."""
    expected = f"increasing integers from 0 to the {n_steps} steps of the run"
    given = check_vector(at, "at")
    if given.size == 0:
        raise InputError("at", "an empty sequence", expected)
    if (given != np.floor(given)).any():
        raise InputError("at", f"{given[given != np.floor(given)][0]:g}", expected)
    if given.min() < 0 or given.max() > n_steps:
        where = f"{given.min():g} to {given.max():g}, for learning rates of {n_steps} steps"
        raise InputError("at", where, expected)
    if (np.diff(given) <= 0).any():
        index = int(np.argmax(np.diff(given) <= 0))
        raise InputError("at", f"at[{index}] = {given[index]:g}, at[{index + 1}] = {given[index + 1]:g}", expected)
    if given[-1] < 1:
        raise InputError("at", "0 alone", "a loss after at least one step")
    return given.astype(np.int64)


def _check_losses(loss: npt.ArrayLike, at: npt.NDArray[np.int64]) -> Array:
    losses = np.array(loss, dtype=np.float64)
    if losses.shape != at.shape:
        raise InputError("loss", f"an array of shape {losses.shape}", f"one loss for each of the {at.size} places")
    bad = ~(np.isfinite(losses) & (losses > 0.0))
    if bad.any():
        index = int(np.argmax(bad))
        where = f"loss[{index}] = {losses[index]} after {at[index]} steps ({int(bad.sum())} such)"
        raise InputError("loss", where, "positive finite losses: leave a spike out (drop_bad), or the rest of the run")
    return losses
