"""optax: a schedule as the callable that optax expects, and a transformation that records gradient norms."""

from collections.abc import Callable
from typing import Any, NamedTuple

from lastiterate.experiments.training.extras import require
from lastiterate.theory.base.validation import InputError, check_count, check_positive
from lastiterate.theory.schedules.played import Playable, playable

__all__ = ["NormState", "optax_schedule", "record_norms"]


class NormState(NamedTuple):
    """Norms recorded so far: ``l1`` and ``l2``, arrays [n_steps], of which the first ``count`` are filled."""

    count: Any
    l1: Any
    l2: Any


def optax_schedule(
    steps: Playable, base_lr: float | None = None, *, n_steps: int | None = None
) -> Callable[[Any], Any]:
    """Return an optax schedule: ``base_lr * steps[count]``, the last value past the end.

    optax schedules return the learning rate itself, not a multiplier, hence ``base_lr``.

    Parameters
    ----------
    steps : array_like, shape (n,), or str, or a result with steps, or ScheduleFile
        Multipliers, or learning rates where a result says so (``absolute``).
    base_lr : float, optional
        Base learning rate, positive; multipliers need one, learning rates take none.
    n_steps : int, optional
        Length of a schedule whose text is given.

    Returns
    -------
    callable
        From an integer, or a traced one, to the learning rate; for ``optax.sgd(optax_schedule(steps, 0.1))``.

    Raises
    ------
    InputError
        If ``steps`` is not a finite nonnegative sequence, ``base_lr`` not a positive number, or given for steps that
        are learning rates already.
    MissingExtraError
        If JAX is not installed.

    Examples
    --------
    >>> schedule = optax_schedule([1.0, 0.5], base_lr=2.0)
    >>> [float(schedule(count)) for count in (0, 1, 7)]
    [2.0, 1.0, 1.0]
    """
    jnp: Any = require("jax.numpy", "integrations", purpose="the optax adapter")
    values, absolute = playable(steps, n_steps)
    if absolute and base_lr is not None:
        raise InputError("base_lr", base_lr, "None for steps that are learning rates already")
    values = values if absolute else check_positive(base_lr, "base_lr") * values

    def schedule(count: Any) -> Any:
        return jnp.asarray(values)[jnp.clip(count, 0, values.size - 1)]

    return schedule


def record_norms(n_steps: int) -> Any:
    """Return an optax transformation that leaves the gradients as they are and keeps their norms in its state.

    Put it first in ``optax.chain``, before clipping. The norms are summed in single precision or better and stay on the
    device until they are read; of a run that took fewer steps, read ``state.l2[: state.count]``.

    Parameters
    ----------
    n_steps : int
        Number of steps to keep; later ones are not recorded.

    Returns
    -------
    optax.GradientTransformation
        Its state is a `NormState`.

    Raises
    ------
    InputError
        If ``n_steps`` is not a positive integer.
    MissingExtraError
        If optax is not installed.

    Examples
    --------
    >>> import jax.numpy as jnp, optax
    >>> recording = record_norms(3)
    >>> _, state = recording.update({"x": jnp.array([3.0, -4.0])}, recording.init(None))
    >>> int(state.count), float(state.l1[0]), float(state.l2[0])
    (1, 7.0, 5.0)
    """
    optax: Any = require("optax", "integrations", purpose="the optax adapter")
    jax: Any = require("jax", "integrations", purpose="the optax adapter")
    jnp = jax.numpy
    length = check_count(n_steps, "n_steps")

    def init(params: Any) -> NormState:
        del params
        return NormState(jnp.zeros((), jnp.int32), jnp.zeros(length), jnp.zeros(length))

    def update(updates: Any, state: NormState, params: Any = None) -> tuple[Any, NormState]:
        del params
        # half precision would overflow in the sums
        wide = [
            jnp.abs(leaf).astype(jnp.promote_types(jnp.float32, jnp.abs(leaf).dtype))
            for leaf in jax.tree.leaves(updates)
        ]
        l1 = sum(leaf.sum() for leaf in wide)
        l2 = jnp.sqrt(sum(jnp.square(leaf).sum() for leaf in wide))
        kept = {"mode": "drop"}  # writing past the end does nothing
        at = state.count
        return updates, NormState(at + 1, state.l1.at[at].set(l1, **kept), state.l2.at[at].set(l2, **kept))

    return optax.GradientTransformation(init, update)
