# pyright: reportMissingParameterType=false
"""The compiled loop: one run after another, batches drawn from a generator of each run's own.

Every random number is a function of the run's seed alone, never of the thread, so results are identical for any number
of threads, which take runs of their own each (see ``running.py``). The loop is compiled once: oracle, step, norm,
average, draws and noise arrive as function pointers (see ``protocol.py``), so what a run does not need is not compiled.
Numba does not notice edits of ``vectors.py`` in the cache of the functions here.
"""

import math
from typing import Any

import numpy as np
from numba import float64, int64, njit, types, uint64

from lastiterate.theory.base.jit import JIT

from .averages import FOLLOW
from .draws import DRAW, FULL, NOISE
from .optional import BEST, F_AVERAGE, FOLLOW_LEARNER, LARGEST, MOVE, SEE, SEE_STEP, WEIGH, F
from .protocol import D_ESTIMATE, KERNEL, NORM, ORACLE, STEP, STEP_SIZE, STRIP, WEIGHT, Matrix, Rows, Vector
from .vectors import copy_to, squares
from .views import caller, entry, part, rows_of

__all__: list[str] = []  # compiled code, for the simulators alone

OUTER: dict[str, Any] = {**JIT, "_nrt": False, "no_cfunc_wrapper": True}

# places in ``functions``
AT_RUN, AT_ORACLE, AT_STEP, AT_NORM, AT_FOLLOW, AT_DRAW, AT_DISTURB = range(7)
AT_SEE, AT_SEE_STEP, AT_WEIGH, AT_FOLLOW_LEARNER = range(7, 11)
# places in ``settings``
SAMPLES, SAMPLING, BATCH, VECTORS, OUTPUT, USES_LOSS, AVERAGE, SCRATCH, DIAGNOSED = range(9)
GRADIENT, MEAN, BEFORE, LEARNER, PLAYED, OWN = range(6)  # rows of ``storage``; the method's own follow

call_oracle, call_step, call_norm = caller(ORACLE), caller(STEP), caller(NORM)
call_follow, call_draw, call_disturb = caller(FOLLOW), caller(DRAW), caller(NOISE)
call_see, call_see_step = caller(SEE), caller(SEE_STEP)
call_weigh, call_follow_learner = caller(WEIGH), caller(FOLLOW_LEARNER)

RUN = types.void(
    Vector, Rows, Vector, Vector,  # the problem: values, index, target, params
    Rows, Rows, uint64[::1], float64, float64,  # functions, settings, counters, noise, ceiling
    float64, Vector, Vector, Matrix, Rows,  # base_lr, steps, options, per-step options and which they are
    Vector, Vector, Vector, Vector,  # learner weights, ratios, shares of the points in the average, x_star
    Rows, Rows, Matrix,  # steps to record, column of each channel, record
    Vector, Vector, Vector, Rows, Rows,  # x, scalars, extras, stopped, progress
    Matrix, Vector, Rows, Rows,  # storage, scratch, order, picks
)  # fmt: skip


@njit(RUN, **KERNEL)
def run_one(
    values, index, target, params,
    functions, settings, counters, noise, ceiling,
    base_lr, steps, options, series, slots,
    weights, ratios, shares, x_star,
    record_at, columns, record,
    x, scalars, extras, stopped, progress,
    storage, scratch, order, picks,
):  # fmt: skip
    """Run one method once; ``x`` starts as x0 and ends as the returned point, ``record`` receives the channels."""
    oracle, step, follow = functions[AT_ORACLE], functions[AT_STEP], functions[AT_FOLLOW]
    draw, disturb = functions[AT_DRAW], functions[AT_DISTURB]
    n, sampling, output = settings[SAMPLES], settings[SAMPLING], settings[OUTPUT]
    average, diagnosed = settings[AVERAGE] > 0, settings[DIAGNOSED] > 0
    wrapped, n_steps = ratios.size > 0, steps.size
    g, mean, before = entry(storage, GRADIENT), entry(storage, MEAN), entry(storage, BEFORE)
    played, learner = entry(storage, PLAYED), entry(storage, LEARNER) if wrapped else x  # what the method moves
    own = OWN + settings[VECTORS]
    state, kept = rows_of(storage, OWN, own), rows_of(storage, own, storage.shape[0])
    everything, nothing = part(order, 0, 0), part(x, 0, 0)
    used = settings[SCRATCH] + options.size
    work, now = part(scratch, 0, settings[SCRATCH]), part(scratch, settings[SCRATCH], used)
    memory = part(scratch, used, scratch.size)
    copy_to(now, options)
    copy_to(mean, x)
    if wrapped:
        copy_to(learner, x)
    random, noisy = part(counters, 0, 1), part(counters, 1, 2)
    scalars[D_ESTIMATE] = np.nan
    slot, weight, final_weight = 0, 1.0, 0.0
    for j in range(weights.size):
        final_weight += weights[j]

    for k in range(n_steps + 1):
        recording, last = slot < record_at.size and record_at[slot] == k, k == n_steps
        row = entry(record, slot)  # beyond its end where nothing is left to be recorded
        start, stop = 0, 0
        if sampling != FULL:
            start = call_draw(draw, random, settings[BATCH], order, picks, n)
            stop = start + settings[BATCH]
            if stop > n:
                stop = n
        rows = part(order, start, stop)
        with_value = settings[USES_LOSS] > 0 or (recording and sampling == FULL)
        loss = call_oracle(oracle, k, x, rows, values, index, target, params, with_value, work, g)
        if noise > 0.0:
            call_disturb(disturb, noisy, noise, g)
        # a call outlasts a short sum
        size = math.sqrt(squares(g, 0, g.size)) if g.size <= STRIP else call_norm(functions[AT_NORM], g)
        extras[LARGEST] = max(extras[LARGEST], size)
        if recording:
            f = loss
            point = x if output < 0 or k == 0 or wrapped else entry(state, output)
            both = 2 if columns[F_AVERAGE] >= 0 else 1
            for i in range(0 if sampling != FULL or (output >= 0 and k > 0) else 1, both):
                seen = mean if i else point
                value = call_oracle(oracle, k, seen, everything, values, index, target, params, True, work, nothing)
                if i:
                    row[columns[F_AVERAGE]] = value
                else:
                    f = value
            row[columns[F]] = f
            if -ceiling <= f <= ceiling:
                extras[BEST] = min(extras[BEST], f)
            else:
                stopped[0] = k
            if diagnosed:
                call_see(functions[AT_SEE], row, columns, point, x_star, g, size)
        elif settings[USES_LOSS] > 0 and sampling == FULL and output < 0 and -ceiling <= loss:
            extras[BEST] = min(extras[BEST], loss)
        if not math.isfinite(size):
            stopped[0] = k
        if stopped[0] >= 0 or progress[1] < 0:
            return
        if wrapped:
            weight = weights[k]
            call_weigh(functions[AT_WEIGH], weight, weight / final_weight, g, learner, played, x_star, extras)
        if not last:
            for i in range(slots.size):
                now[slots[i]] = series[i, k]
            lr = base_lr * steps[k]
            scalars[WEIGHT] = lr
            scalars[STEP_SIZE] = lr
            if average or columns[MOVE] >= 0:
                copy_to(before, x)
            call_step(step, k, lr, weight * loss, learner, g, rows, state, memory, scalars, now)
            if wrapped:
                call_follow_learner(functions[AT_FOLLOW_LEARNER], x, ratios[k], learner, played)
            if average:
                after = x if output < 0 or wrapped else entry(state, output)
                call_follow(follow, mean, before, after, k, scalars, extras, shares, kept)
        if recording:
            if diagnosed:
                call_see_step(functions[AT_SEE_STEP], row, columns, scalars, x, before, last)
            slot += 1
        progress[0] = k + 1
    if output >= 0 and not wrapped and n_steps > 0:
        copy_to(x, entry(state, output))


call_run = caller(RUN)
SOME = types.void(
    Vector, Rows, Vector, Vector,
    Rows, Rows, uint64[:, ::1], float64, float64,
    Vector, Matrix, Rows, Vector, Matrix, Rows,  # base_lrs, schedules, which schedule, options, series, slots
    Vector, Vector, Vector, Vector,
    Rows, Rows, float64[:, :, ::1],
    Matrix, Matrix, Matrix, int64[:, ::1], int64[:, ::1],
    Matrix, Vector, Rows, Rows, int64, int64,  # a thread's own room, and which runs are its own
)  # fmt: skip


@njit(SOME, **OUTER)
def run_some(
    values, index, target, params,
    functions, settings, counters, noise, ceiling,
    base_lrs, schedules, which, options, series, slots,
    weights, ratios, shares, x_star,
    record_at, columns, record,
    points, scalars, extras, stopped, progress,
    storage, scratch, order, picks, first, last,
):  # fmt: skip
    """Run first..last-1 of the (schedule, base learning rate, seed), each by `run_one`, not to be compiled again."""
    for r in range(first, last):
        for i in range(storage.shape[0]):
            for j in range(storage.shape[1]):
                storage[i, j] = 0.0
        for j in range(scratch.size):
            scratch[j] = 0.0
        for j in range(order.size):
            order[j] = j
        picks[0] = 0
        call_run(
            functions[AT_RUN], values, index, target, params,
            functions, settings, entry(counters, r), noise, ceiling,
            base_lrs[r], entry(schedules, which[r]), options, series, slots,
            weights, ratios, shares, x_star,
            record_at, columns, entry(record, r),
            entry(points, r), entry(scalars, r), entry(extras, r), entry(stopped, r), entry(progress, r),
            storage, scratch, order, picks,
        )  # fmt: skip
