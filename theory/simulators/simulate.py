"""`simulate`: every (schedule, base learning rate, seed) of one method on one problem, in parallel."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.validation import Array, InputError, check_count, check_flag, check_positive
from lastiterate.theory.problems.problem import Problem
from lastiterate.theory.simulators.kernels.averages import FOLLOW
from lastiterate.theory.simulators.kernels.draws import (
    DRAW,
    FULL,
    NOISE,
    PERMUTATION,
    PICKS,
    REPLACEMENT,
    add_noise,
    by_permutation,
    by_replacement,
    seeded,
)
from lastiterate.theory.simulators.kernels.margins import WORK
from lastiterate.theory.simulators.kernels.optional import (
    BEST,
    CHANNELS,
    FOLLOW_LEARNER,
    LARGEST,
    REGRET,
    SEE,
    SEE_STEP,
    WEIGH,
    follow_learner,
    see,
    see_step,
    weigh,
)
from lastiterate.theory.simulators.kernels.oracles import oracle_of
from lastiterate.theory.simulators.kernels.protocol import FIRST, NORM, ORACLE, STEP, STRIP, Method
from lastiterate.theory.simulators.kernels.vectors import norm2, shared_norm2
from lastiterate.theory.simulators.kernels.views import address, from_python
from lastiterate.theory.simulators.kernels.wide import shared_margin
from lastiterate.theory.simulators.methods.table import method_row

from .inputs import (
    read_averaging,
    read_base_lrs,
    read_diagnostics,
    read_record,
    read_schedules,
    read_seeds,
    read_weights,
)
from .options import read_options
from .result import Simulation
from .running import aligned, share_out
from .standstill import warn_of_standstill

__all__ = ["simulate"]

_PROCESS = os.getpid()
_BRIEF = 10**7  # multiplications within a tenth of a second: such a run needs neither a thread nor a progress bar
_DRAWS = {REPLACEMENT: by_replacement, PERMUTATION: by_permutation}
_CEILING = 1e10  # a run has diverged when f exceeds this many times max(1, |f(x0)|)


def simulate(
    problem: Problem,
    method: str = "sgd",
    steps: Any = "linear",
    *,
    base_lr: float | Sequence[float] | Array = 1.0,
    seeds: int | Sequence[int] = 1,
    n_steps: int | None = None,
    batch_size: int | None = None,
    replacement: bool = False,
    noise: float = 0.0,
    record: int | Sequence[int] | npt.NDArray[np.int64] = 200,
    diagnostics: str | Sequence[str] = (),
    average: bool | str = False,
    to_last_iterate: bool | Array = False,
    progress: bool | None = None,
    **options: Any,
) -> Simulation:
    """Run a method with schedules, base learning rates and seeds on a problem and return its curves beside the theory.

    Step k uses ``base_lr * steps[k]``; f(x_N) is the value after the last step.

    Parameters
    ----------
    problem : Problem
        From `lastiterate.problems`.
    method : str
        A name from `lastiterate.theory.simulators.methods.table.METHODS`.
    steps : float64[N], float64[schedule, N], str, or mapping or sequence of these
        One or several schedules of N step sizes; text such as ``"wsd:cooldown=0.2"`` needs ``n_steps``.
    base_lr : float or sequence of float
        Base learning rates.
    seeds : int or sequence of int
        How many seeds (0, 1, ...), or which. A seed fixes batches and noise, whatever the schedule and base_lr.
    n_steps : int, optional
        N; by default the length of the schedules.
    batch_size : int, optional
        Samples a batch; by default the full objective.
    replacement : bool
        Draw batches with replacement; by default every epoch is a new permutation (its last batch may be smaller).
    noise : float
        Root mean square norm of Gaussian noise added to every gradient.
    record : int or sequence of int
        How many equally spaced steps to record, or which (0..N); 0 and N are always recorded.
    diagnostics : str or sequence of str
        Any of ``grad_l2``, ``grad_l1`` (of the stochastic gradient), ``distance`` (to x*), ``D_estimate``,
        ``step_size`` (the factor on the gradient) and ``move`` (||x_{k+1} - x_k||).
    average : bool or str
        Record f at an average of the iterates too. True: weighted as the method's theorem has it (by default by the
        steps). ``"tail:fraction=0.5"``: the mean of the last half of x_1..x_N; ``"ema:decay=0.99"``: exponential, from
        x_0; ``"polynomial:gamma=8"``: x_k with the share (gamma + 1) / (gamma + k), as DoG's averager;
        ``"lawa:every=10,count=5"``: the mean of the last 5 of the points x_10, x_20, ... (arXiv 2209.14981).
    to_last_iterate : bool or array of float, shape (N + 1,)
        Wrap the method as an online learner into the conversion of arXiv 2310.07831, Theorem 1, with these weights
        (True: all ones), which turns its regret into a rate of the last iterate.
    progress : bool, optional
        Show a progress bar on standard error; by default when it is a terminal and the run is long.
    **options
        The method's own options; an array of N values is read step by step (but `mechanic_betas`, a list).

    Returns
    -------
    Simulation
        Arrays with axes (schedule, base_lr, seed, step), the final points, bounds and gaps.

    Raises
    ------
    InputError
        For a schedule shorter than the run, an unknown option, an empty batch, a value below ``problem.f_star``, ...

    Warns
    -----
    SimulationWarning
        For runs that never move, a distance estimate that stays at ``d0``, and gradients whose squares underflow.

    Examples
    --------
    >>> from lastiterate.theory import problems
    >>> run = simulate(problems.absolute_value(1.0), "sgd", "linear", n_steps=99, base_lr=0.1)
    >>> run.f.shape, bool(run.gap[0, 0, 0] <= run.bound[0, 0, 0])
    ((1, 1, 1, 100), True)
    """
    if not isinstance(problem, Problem):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("problem", problem, "a Problem of lastiterate.problems")
    row = method_row(method)
    schedules, names = read_schedules(steps, n_steps)
    N = schedules.shape[1]
    base_lrs = read_base_lrs(base_lr)
    seed_list = read_seeds(seeds)
    sampling, batch = _sampling(problem, batch_size, replacement)
    record_at = read_record(record, N)
    diagnostics = read_diagnostics(diagnostics)
    averaging = read_averaging(average, N)
    weights, ratios = read_weights(to_last_iterate, N)
    noise = check_positive(noise, "noise", allow_zero=True)
    values, series, slots, chosen = read_options(row, method, problem, options, N)

    from lastiterate.theory.simulators.kernels import loop  # compiles on first use

    channels = ["f", *(["f_average"] if average is not False or row.averages else []), *dict.fromkeys(diagnostics)]
    columns = tuple(channels.index(name) if name in channels else -1 for name in CHANNELS)
    shape = (len(names), base_lrs.size, len(seed_list))
    runs = int(np.prod(shape))
    which, lr_index, seed_index = (index.ravel() for index in np.indices(shape))
    points = np.tile(problem.x0, (runs, 1))
    store = np.full((runs, record_at.size, len(channels)), np.nan)
    scalars, extras = np.zeros((runs, FIRST + row.scalars)), np.zeros((runs, 4))
    extras[:, BEST] = np.inf
    stopped, ticks = np.full((runs, 1), -1), np.zeros((runs, 2), dtype=np.int64)
    needs_x_star = "distance" in diagnostics or weights.size > 0
    forked = os.getpid() != _PROCESS  # OpenMP's threads did not come along, and starting them there ends the process
    oracle = oracle_of(problem.kind, problem.sparse, problem.dim, alone=runs == 1 and not forked)
    shared = oracle is shared_margin  # then the threads share every step instead of the runs
    averaged = "f_average" in channels
    scratch = max(WORK, problem.n_outputs)
    settings = (
        problem.n_samples,
        sampling,
        batch,
        row.vectors,
        row.output,
        row.uses_loss,
        averaged,
        scratch,
        len(diagnostics) > 0,
    )
    norm = shared_norm2 if shared else norm2
    functions = (
        address(oracle, ORACLE),
        address((shared and row.shared) or row.step, STEP),
        address(norm, NORM) if problem.dim > STRIP else 0,  # the loop itself takes shorter norms
        address(averaging.follow, FOLLOW) if averaged else 0,
        address(_DRAWS[sampling], DRAW) if sampling != FULL else 0,
        address(add_noise, NOISE) if noise > 0.0 else 0,
        address(see, SEE) if diagnostics else 0,
        address(see_step, SEE_STEP) if diagnostics else 0,
        address(weigh, WEIGH) if weights.size else 0,
        address(follow_learner, FOLLOW_LEARNER) if weights.size else 0,
    )
    arguments = (
        *_pack(problem),
        functions,
        settings,
        seeded(np.array(seed_list, dtype=np.uint64))[seed_index],
        noise,
        _CEILING * max(1.0, abs(problem.value(problem.x0))),
        base_lrs[lr_index],
        schedules,
        which,
        values,
        series,
        slots,
        weights,
        float(weights.cumsum()[-1]) if weights.size else 0.0,
        ratios,
        averaging.shares,
        np.ascontiguousarray(problem.x_star) if needs_x_star else np.empty(0),
        record_at,
        columns,
        store,
        points,
        scalars,
        extras,
        stopped,
        ticks,
    )

    run_compiled = from_python(loop.run_some, loop.SOME)

    def run_some(first: int, last: int) -> None:
        room = (
            aligned(vectors * problem.dim).reshape(vectors, problem.dim),
            aligned(scratch + values.size + problem.n_samples * row.uses_memory),
            np.empty({FULL: 0, REPLACEMENT: batch, PERMUTATION: problem.n_samples}[sampling], dtype=np.int64),
            np.zeros(1 + PICKS, dtype=np.int64),
        )
        run_compiled(*arguments, *room, first, last)

    vectors = loop.OWN + row.vectors + averaging.kept
    rows = N * (batch or problem.n_samples) + record_at.size * problem.n_samples
    if forked or (runs == 1 and not shared and rows * problem.dim <= _BRIEF):
        run_some(0, runs)
    else:
        share_out(run_some, runs, shared, ticks, N, progress)
    for name in ("f", "f_average"):
        if name in channels:
            store[:, :, channels.index(name)][(stopped >= 0) & (record_at >= stopped)] = np.inf
    _check_minimum(row, chosen, extras[:, BEST])
    run = Simulation(
        problem=problem,
        method=method,
        options=chosen,
        schedules=tuple(names),
        steps=schedules,
        base_lrs=base_lrs,
        seeds=tuple(seed_list),
        recorded=record_at,
        f=store[:, :, 0].reshape(*shape, -1),
        diagnostics={name: store[:, :, i].reshape(*shape, -1) for i, name in enumerate(channels) if i},
        points=points.reshape(*shape, -1),
        scalars=scalars.reshape(*shape, -1),
        stopped_at=stopped.reshape(shape),
        largest_gradient=extras[:, LARGEST].reshape(shape),
        lowest=extras[:, BEST].reshape(shape),
        regret=extras[:, REGRET].reshape(shape),
        stochastic=sampling != FULL or noise > 0.0,
        noise=noise,
        wrapped=weights.size > 0,
        averaging=averaging.name,
        _row=row,
    )
    warn_of_standstill(run, row)
    return run


def _check_minimum(method: Method, options: Mapping[str, Any], lowest: Array) -> None:
    """Refuse a minimum or lower bound that the run has disproved by a value below it."""
    seen = float(np.min(lowest))
    for name, default in method.options.items():
        claimed = name in ("f_star", "lower_bound") or default == "f_star"
        if claimed and np.any(np.asarray(options[name]) > seen + 1e-9 * max(1.0, abs(seen))):
            raise InputError(name, np.max(options[name]).item(), f"at most {seen!r}, a value that the run has seen")


def _sampling(problem: Problem, batch_size: int | None, replacement: bool) -> tuple[int, int]:
    """Return the kind of sampling and the batch size (0 for the full objective)."""
    replacement = check_flag(replacement, "replacement")
    if batch_size is None:
        return FULL, 0
    batch = check_count(batch_size, "batch_size")
    if not problem.stochastic:
        raise InputError("batch_size", batch, f"None, because {problem.name!r} is no mean over samples")
    if batch > problem.n_samples:
        raise InputError("batch_size", batch, f"at most the {problem.n_samples} samples")
    return (REPLACEMENT if replacement else PERMUTATION), batch


def _pack(problem: Problem) -> tuple[Array, npt.NDArray[np.int64], Array, Array]:
    """Return values, index, target and params as the oracles read them (see ``protocol.py``)."""
    arrays = problem.arrays
    params = np.array([arrays.kind, arrays.n_outputs, arrays.l2, arrays.tie, arrays.tie_tolerance], dtype=np.float64)
    if arrays.sparse:
        return arrays.data, np.concatenate([arrays.indptr, arrays.indices]), arrays.targets, params
    dense = arrays.dense
    if dense.strides[1] != dense.itemsize or dense.strides[0] < 0:
        dense = np.ascontiguousarray(dense)
    (rows, columns), stride = dense.shape, dense.strides[0] // dense.itemsize
    flat = np.lib.stride_tricks.as_strided(dense, ((rows - 1) * stride + columns,), (dense.itemsize,))
    return flat, np.array([stride]), arrays.targets, params
