# pyright: reportMissingParameterType=false
"""The compiled loop: one run after another in parallel, batches drawn from a generator of each run's own.

Every random number is a function of the run's seed alone, never of the thread, so results are identical for any number
of threads. The loop is compiled once: oracle, step and norm arrive as function pointers (see ``protocol.py``). Numba
does not notice edits of ``vectors.py`` in the cache of the functions here.
"""

import math
from typing import Any

import numpy as np
from numba import float64, int64, njit, prange, types, uint64
from numba.core import cgutils
from numba.extending import intrinsic

from lastiterate.theory.base.jit import JIT, JIT_PARALLEL

from .averages import FOLLOW
from .protocol import D_ESTIMATE, KERNEL, ORACLE, STEP, STEP_SIZE, STRIP, WEIGHT, Matrix, Rows, Vector, named
from .vectors import add_moved, aligned, copy_to, distance, norm1, product_with_difference, squares

__all__: list[str] = []  # compiled code, for the simulators alone

INNER: dict[str, Any] = {**KERNEL, "no_cpython_wrapper": True}
OUTER: dict[str, Any] = {**JIT_PARALLEL, "no_cfunc_wrapper": True}
ALONE: dict[str, Any] = {**JIT, "no_cfunc_wrapper": True}

FULL, REPLACEMENT, PERMUTATION = 0, 1, 2
# places in ``settings``
SAMPLES, SAMPLING, BATCH, VECTORS, MEMORY, OUTPUT, USES_LOSS, AVERAGE, SCRATCH, KEPT = range(10)
GRADIENT, MEAN, BEFORE, LEARNER, PLAYED, OWN = range(6)  # rows of ``storage``; the method's own follow
# places in ``extras``: the learner's weighted regret, largest norm, lowest f seen; then what averages keep
REGRET, LARGEST, BEST = range(3)
CHANNELS = ("f", "f_average", "grad_l2", "grad_l1", "distance", "D_estimate", "step_size", "move")
F, F_AVERAGE, GRAD_L2, GRAD_L1, DISTANCE, D_SEEN, STEP_SEEN, MOVE = range(len(CHANNELS))


@intrinsic
def borrow(typing_context: Any, array: Any = None) -> Any:  # pyright: ignore[reportUnusedParameter]
    """Return a view of an array whose owner is unknown: nothing to hand on with every call, 3 per cent of a small step.

    The caller keeps the array alive.
    """

    def codegen(context, builder, signature, args):  # pyright: ignore[reportUnusedParameter]
        view = cgutils.create_struct_proxy(array)(context, builder, value=args[0])
        view.meminfo = cgutils.get_null_value(view.meminfo.type)
        view.parent = cgutils.get_null_value(view.parent.type)
        return view._getvalue()

    return array(array), codegen


PICKS = 64  # numbers drawn ahead of the swaps of a shuffle
GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio


@njit(**KERNEL)
def _mixed(z):
    """Return 64 bits that look random, different for every z (SplitMix64)."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(**KERNEL)
def next_bits(random):
    """Advance the generator held in ``random[0]`` and return 64 fresh bits."""
    random[0] += GOLDEN
    return _mixed(random[0])


@njit(**KERNEL)
def _scaled(bits, n):
    """Return an integer in 0..n-1 (bias below n / 2^32)."""
    return np.int64(((bits >> np.uint64(32)) * np.uint64(n)) >> np.uint64(32))


@njit(**KERNEL)
def add_noise(random, scale, g):
    """Add Gaussian noise with E ||noise||^2 = scale^2 to the gradient (Box-Muller)."""
    unit, size = 2.0**-53, scale / math.sqrt(g.size)
    for j in range(0, g.size, 2):
        radius = size * math.sqrt(-2.0 * math.log((np.float64(next_bits(random) >> np.uint64(11)) + 1.0) * unit))
        angle = 2.0 * math.pi * np.float64(next_bits(random) >> np.uint64(11)) * unit
        g[j] += radius * math.cos(angle)
        if j + 1 < g.size:
            g[j + 1] += radius * math.sin(angle)


@njit(**KERNEL)
def _shuffle(random, order, picks, n):
    """Shuffle order[:n] (Fisher and Yates); numbers are drawn ahead of the swaps, so that their loop vectorises."""
    last = n - 1
    while last > 0:
        state, count = random[0], min(last, picks.size)
        for i in range(count):
            picks[i] = _scaled(_mixed(state + np.uint64(i + 1) * GOLDEN), last - i + 1)
        random[0] = state + np.uint64(count) * GOLDEN
        for i in range(count):
            order[last - i], order[picks[i]] = order[picks[i]], order[last - i]
        last -= count


@njit(**KERNEL)
def draw(random, sampling, batch, order, picks, n):
    """Return where in ``order`` the rows of the next batch begin and end.

    Without replacement the order is shuffled anew at the start of every epoch. ``picks[0]`` is where this batch begins;
    the other numbers are scratch.
    """
    if sampling == FULL:
        return 0, 0
    if sampling == REPLACEMENT:
        state = random[0]  # the numbers of a counter do not wait for each other, so this loop vectorises
        for i in range(batch):
            order[i] = _scaled(_mixed(state + np.uint64(i + 1) * GOLDEN), n)
        random[0] = state + np.uint64(batch) * GOLDEN
        return 0, batch
    start = picks[0]
    if start == 0:
        _shuffle(random, order, picks[1:], n)
    stop = min(start + batch, n)
    picks[0] = stop if stop < n else 0
    return start, stop


# the problem comes first: Python makes a tuple of more than 30 arguments, and older Numba refuses one of functions
RUN = types.void(
    Vector, Rows, Vector, Vector,  # the problem: values, index, target, params
    ORACLE_TYPE := types.FunctionType(ORACLE),
    STEP_TYPE := types.FunctionType(STEP),
    NORM_TYPE := types.FunctionType(float64(Vector)),
    FOLLOW_TYPE := types.FunctionType(FOLLOW),
    Rows, uint64, float64, float64,  # settings, seed, noise, ceiling
    float64, Vector, Vector, Matrix, Rows,  # base_lr, steps, options, per-step options and which they are
    Vector, Vector, Vector, Vector,  # learner weights, ratios, shares of the points in the average, x_star
    Rows, Rows, Matrix,  # steps to record, column of each channel, record
    Vector, Vector, Vector, Rows, Rows,  # x, scalars, extras, stopped, progress
    Matrix, Vector, Rows, Rows, uint64[::1],  # storage, scratch, order, picks, counters
)  # fmt: skip


@njit(RUN, **INNER)
def run_one(
    values, index, target, params,
    oracle, step, norm, follow,
    settings, seed, noise, ceiling,
    base_lr, steps, options, series, slots,
    weights, ratios, shares, x_star,
    record_at, columns, record,
    x, scalars, extras, stopped, progress,
    storage, scratch, order, picks, counters,
):  # fmt: skip
    """Run one method once; ``x`` starts as x0 and ends as the returned point, ``record`` receives the channels."""
    values, index, target, params = borrow(values), borrow(index), borrow(target), borrow(params)
    x, scalars, record, order, storage = borrow(x), borrow(scalars), borrow(record), borrow(order), borrow(storage)
    scratch, picks, counters = borrow(scratch), borrow(picks), borrow(counters)
    n, sampling, output = settings[SAMPLES], settings[SAMPLING], settings[OUTPUT]
    average, wrapped, n_steps = settings[AVERAGE] > 0, ratios.size > 0, steps.size
    g, mean, before = storage[GRADIENT], storage[MEAN], storage[BEFORE]
    learner, played = storage[LEARNER] if wrapped else x, storage[PLAYED]  # the point that the method moves
    state, kept = storage[OWN : OWN + settings[VECTORS]], storage[OWN + settings[VECTORS] :]
    everything = order[:0]
    work, others = scratch[: settings[SCRATCH]], scratch[settings[SCRATCH] :]
    now, memory = others[: options.size], others[options.size :]
    copy_to(now, options)
    copy_to(mean, x)
    if wrapped:
        copy_to(learner, x)
    random, noisy = counters[:1], counters[1:]
    random[0] = seed
    random[0] = next_bits(random)
    noisy[0] = next_bits(random)
    scalars[D_ESTIMATE] = np.nan
    slot, weight, final_weight = 0, 1.0, 0.0
    for j in range(weights.size):
        final_weight += weights[j]

    for k in range(n_steps + 1):
        recording, last = slot < record_at.size and record_at[slot] == k, k == n_steps
        row = record[min(slot, record_at.size - 1)]
        start, stop = draw(random, sampling, settings[BATCH], order, picks, n)
        rows = order[start:stop]
        with_value = settings[USES_LOSS] > 0 or (recording and sampling == FULL)
        loss = oracle(k, x, rows, values, index, target, params, with_value, work, g)
        if recording:
            f = loss
            point = x if output < 0 or k == 0 or wrapped else state[output]
            both = 2 if columns[F_AVERAGE] >= 0 else 1
            for i in range(0 if sampling != FULL or (output >= 0 and k > 0) else 1, both):
                value = oracle(k, mean if i else point, everything, values, index, target, params, True, work, g[:0])
                if i:
                    row[columns[F_AVERAGE]] = value
                else:
                    f = value
            row[columns[F]] = f
            if -ceiling <= f <= ceiling:
                extras[BEST] = min(extras[BEST], f)
            else:
                stopped[0] = k
            if columns[DISTANCE] >= 0:
                row[columns[DISTANCE]] = distance(point, x_star)
        elif settings[USES_LOSS] > 0 and sampling == FULL and output < 0 and -ceiling <= loss:
            extras[BEST] = min(extras[BEST], loss)
        if noise > 0.0:
            add_noise(noisy, noise, g)
        size = math.sqrt(squares(g, 0, g.size)) if g.size <= STRIP else norm(g)  # a call outlasts a short sum
        extras[LARGEST] = max(extras[LARGEST], size)
        if recording:
            if columns[GRAD_L2] >= 0:
                row[columns[GRAD_L2]] = size
            if columns[GRAD_L1] >= 0:
                row[columns[GRAD_L1]] = norm1(g)
        if not math.isfinite(size):
            stopped[0] = k
        if stopped[0] >= 0 or progress[1] < 0:
            return
        if wrapped:
            weight = weights[k]
            if x_star.size > 0:
                extras[REGRET] += weight / final_weight * product_with_difference(g, learner, x_star)
            copy_to(played, learner)
            for j in range(g.size):
                g[j] *= weight
        if not last:
            for i in range(slots.size):
                now[slots[i]] = series[i, k]
            lr = base_lr * steps[k]
            scalars[WEIGHT] = lr
            scalars[STEP_SIZE] = lr
            if average or columns[MOVE] >= 0:
                copy_to(before, x)
            step(k, lr, weight * loss, learner, g, rows, state, memory, scalars, now)
            if wrapped:
                add_moved(x, ratios[k], learner, played)
            if average:
                after = x if output < 0 or wrapped else state[output]
                follow(mean, before, after, k, scalars, extras, shares, kept)
        if recording:
            if columns[D_SEEN] >= 0:
                row[columns[D_SEEN]] = scalars[D_ESTIMATE]
            if columns[STEP_SEEN] >= 0 and not last:
                row[columns[STEP_SEEN]] = scalars[STEP_SIZE]
            if columns[MOVE] >= 0 and not last:
                row[columns[MOVE]] = distance(x, before)
            slot += 1
        progress[0] = k + 1
    if output >= 0 and not wrapped and n_steps > 0:
        copy_to(x, state[output])


ALL = types.void(
    types.FunctionType(RUN), ORACLE_TYPE, STEP_TYPE, NORM_TYPE, FOLLOW_TYPE,
    Vector, Rows, Vector, Vector,
    Rows, uint64[::1], float64, float64,
    Vector, Matrix, Rows, Vector, Matrix, Rows,  # base_lrs, schedules, which schedule, options, series, slots
    Vector, Vector, Vector, Vector,
    Rows, Rows, float64[:, :, ::1],
    Matrix, Matrix, Matrix, int64[:, ::1], int64[:, ::1],
)  # fmt: skip


def _run_all(
    run, oracle, step, norm, follow,
    values, index, target, params,
    settings, seeds, noise, ceiling,
    base_lrs, schedules, which, options, series, slots,
    weights, ratios, shares, x_star,
    record_at, columns, record,
    points, scalars, extras, stopped, progress,
):  # fmt: skip
    """Run every (schedule, base learning rate, seed) of a batch; ``run`` is `run_one`, not to be compiled in again."""
    for r in prange(seeds.size):
        vectors = OWN + settings[VECTORS] + settings[KEPT]
        storage = aligned(vectors * points.shape[1]).reshape(vectors, points.shape[1])
        scratch = aligned(settings[SCRATCH] + options.size + settings[MEMORY])
        order = np.arange(max(settings[BATCH], settings[SAMPLES] if settings[SAMPLING] == PERMUTATION else 0))
        run(
            values, index, target, params,
            oracle, step, norm, follow,
            settings, seeds[r], noise, ceiling,
            base_lrs[r], schedules[which[r]], options, series, slots,
            weights, ratios, shares, x_star,
            record_at, columns, record[r],
            points[r], scalars[r], extras[r], stopped[r], progress[r],
            storage, scratch, order, np.zeros(1 + PICKS, np.int64), np.zeros(2, np.uint64),
        )  # fmt: skip


run_all = njit(ALL, **OUTER)(named(_run_all, "run_all"))
run_alone = njit(ALL, **ALONE)(named(_run_all, "run_alone"))  # leaves the threads to the oracle
