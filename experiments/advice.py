"""Answers for a planned run: what theory says of its schedule, with the reason and how sure that is."""

import contextlib
import math
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lastiterate.experiments.logs.noise import NoiseLog, read_noise
from lastiterate.experiments.logs.norms import NormLog, read_norms
from lastiterate.experiments.logs.played import from_log
from lastiterate.theory.base.validation import Array, InputError, check_count, check_positive
from lastiterate.theory.optimal.anytime import anytime_schedule
from lastiterate.theory.optimal.batches import batch_change
from lastiterate.theory.optimal.closed_form import optimal_continuation
from lastiterate.theory.optimal.refinement import refine
from lastiterate.theory.rates.sgd import exact_rate, tune_base_lr
from lastiterate.theory.schedules import parse

__all__ = ["Answer", "plan_run"]

MOST_STEPS = 20_000
"""Rates over their optimum hardly change beyond: a longer run is judged at this length."""
MOST_OPEN = 400
"""The price of an open horizon is found for a last stop of so many steps, at the same ratio of the stops."""
EXACT = "exact for convex functions with bounded subgradients, in the worst case"


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes
    ----------
    question, answer : str
        In words.
    number : float
        What the answer rests on.
    reason : str
        Where the number comes from.
    uncertainty : str
        What it holds for, and what it does not say.
    command : str
        The command that shows more.
    """

    question: str
    answer: str
    number: float
    reason: str
    uncertainty: str
    command: str


def plan_run(
    n_steps: int | None = None,
    *,
    open_horizon: tuple[int, int] | None = None,
    cap: float | None = None,
    batch: float | None = None,
    log: str | Path | None = None,
    D: float = 1.0,
    G: float = 1.0,
) -> list[Answer]:
    """Return the answers that apply to a planned run.

    Parameters
    ----------
    n_steps : int, optional
        Number of steps; that of the log, or the last stop of the open horizon, if absent.
    open_horizon : pair of int, optional
        First and last step at which the run may have to stop.
    cap : float, optional
        Largest learning rate that is stable, in the unit of D / G.
    batch : float, optional
        Batch size of the run before, for the question of changing it.
    log : str or Path, optional
        Log of a run before this one, with learning rates, gradient norms or both.
    D, G : float
        Distance to a minimiser and bound on the subgradient norms, for learning rates; ratios do not depend on them.

    Returns
    -------
    list of Answer

    Raises
    ------
    InputError
        For arguments out of their ranges, or when nothing tells the number of steps.

    Examples
    --------
    >>> for answer in plan_run(1000)[:2]:
    ...     print(f"{answer.number:.3f} {answer.answer}")
    1.000 linear decay to zero
    1.030 cosine to zero costs 3.0%, WSD with 20% cooldown 8.0%
    """
    played = None if log is None else _played(log)
    if n_steps is None:
        n_steps = open_horizon[1] if open_horizon else None if played is None else played.size
    if n_steps is None:
        raise InputError("n_steps", None, "the number of steps, or a log or an open horizon that tells it")
    n = check_count(n_steps, "n_steps")
    scale = check_positive(D, "D") / check_positive(G, "G")
    answers = [*_shape(n), _warmup(n), _base_lr(n, scale)]
    if cap is not None:
        answers.append(_capped(n, check_positive(cap, "cap"), scale))
    if open_horizon is not None:
        answers.append(_open(*open_horizon))
    if batch is not None:
        answers.append(_batch(check_positive(batch, "batch"), log))
    if log is not None:
        answers += _of_the_log(log, played)
    return answers


def _over_optimum(text: str, n: int) -> float:
    m = min(n, MOST_STEPS)
    return tune_base_lr(text, n_steps=m).value * math.sqrt(m + 1.0)


def _judged(n: int) -> str:
    """What the number holds for, and the length at which it was found where that is not the run's own."""
    return EXACT if n <= MOST_STEPS else f"{EXACT}; judged at {MOST_STEPS:,} steps instead of {n:,}, where it settles"


def _shape(n: int) -> list[Answer]:
    cosine, wsd = (_over_optimum(text, n) for text in ("cosine", "wsd:cooldown=0.2"))
    none = "real losses decay faster than worst cases: the best cooldowns of arXiv 2501.18965 take 40 to 60%"
    return [
        Answer(
            "Which shape, if the number of steps is known?", "linear decay to zero", 1.0,
            "minimax optimal for a constant bound on the gradients (arXiv 2310.07831)", EXACT,
            f"lastiterate compare -n {n}",
        ),
        Answer(
            "What do the usual shapes cost?",
            f"cosine to zero costs {cosine - 1:.1%}, WSD with 20% cooldown {wsd - 1:.1%}",
            cosine, "exact rates at the best base learning rate of each, over the optimum", f"{_judged(n)}; {none}",
            f"lastiterate compare cosine wsd:cooldown=0.2 -n {n}",
        ),
    ]  # fmt: skip


def _warmup(n: int) -> Answer:
    cost = {share: _over_optimum(f"linear:warmup={share}", n) for share in (0.01, 0.05)}
    return Answer(
        "How long a warm-up?", f"as short as is stable: 1% costs {cost[0.01] - 1:.1%}, 5% costs {cost[0.05] - 1:.1%}",
        cost[0.05], "exact rate of a warm-up before linear decay, over the optimum",
        f"{_judged(n)}; what a warm-up gains, stability, is not in the model",
        f"lastiterate bound linear:warmup=0.05 -n {n}",
    )  # fmt: skip


def _base_lr(n: int, scale: float) -> Answer:
    peak = scale / math.sqrt(n + 1.0) * n / (n + 1.0)
    return Answer(
        "How does the peak change with the number of steps?",
        "like one over its square root: twice the steps, 0.71 of the peak", peak,
        "best base learning rate of linear decay, D / (G sqrt(N + 1)) N / (N + 1)",
        f"{EXACT}; D and G are seldom known, so carry over the ratio and not the number",
        f"lastiterate bound linear -n {n}",
    )  # fmt: skip


def _capped(n: int, cap: float, scale: float) -> Answer:
    m = min(n, MOST_STEPS)
    peak = tune_base_lr("linear", n_steps=m).base_lr * scale * math.sqrt((m + 1.0) / (n + 1.0))
    if peak <= cap:
        words, number = "the cap does not bind: the best peak lies below it", peak / cap
        return Answer("What if the learning rate has a cap?", words, number, "best peak of linear decay over the cap",
                      _judged(n), f"lastiterate bound linear -n {n}")  # fmt: skip
    found: dict[float, float] = {}
    for share in np.linspace(0.05, 1.0, 20).tolist():
        shape = parse(f"wsd:cooldown={share!r}", m)
        top = min(cap / scale * math.sqrt((n + 1.0) / (m + 1.0)), tune_base_lr(shape).base_lr)
        found[share] = exact_rate(top * shape).value * math.sqrt(m + 1.0)
    best = min(found, key=lambda share: found[share])
    return Answer(
        "What if the learning rate has a cap?", f"stay at the cap and cool down over the last {best:.0%}", found[best],
        "least exact rate of WSD below the cap, over the optimum without one",
        f"{_judged(n)}; the best schedule of any shape is that of lastiterate design --max-step",
        f"lastiterate design -n {n} --max-step {cap:g}",
    )  # fmt: skip


def _open(first: int, last: int) -> Answer:
    n0, n1 = check_count(first, "open_horizon"), check_count(last, "open_horizon")
    if n0 >= n1:
        raise InputError("open_horizon", (first, last), "a first stop before the last one")
    scale = min(1.0, MOST_OPEN / n1)
    stops = max(round(n0 * scale), 1), max(round(n1 * scale), 2)
    raw, branch = anytime_schedule(*stops), anytime_schedule(*stops, branch=0.1)
    return Answer(
        "What if the run may stop anywhere between?",
        f"keep the rate up and cool down over the last 10% once the stop is known: {branch.value - 1:.1%} over the "
        f"optimum of every stop; as it is, {raw.value - 1:.1%}",
        branch.value, f"steps with the least price, computed for stops from {stops[0]} to {stops[1]}",
        f"{EXACT}; the price depends on the ratio of the stops, and slowly on their size",
        f"lastiterate anytime --from {n0} --to {n1} --branch 0.1",
    )  # fmt: skip


def _batch(batch: float, log: str | Path | None) -> Answer:
    question = f"What does a batch of {2 * batch:g} do to the learning rate?"
    command = "lastiterate batch LOG --factor 2"
    noise = None if log is None else _noise(log)
    if noise is not None:
        change = batch_change(noise.norms, noise.noise, batch, 2.0)
        return Answer(
            question,
            f"times {change.value:.2f} for the same number of samples",
            change.value,
            "exact rate with E|g|^2 = g^2 + s^2 / B, from the norms and the noise in the log",
            "in expectation, for SGD; the estimate of the noise is that of one run",
            command,
        )
    return Answer(
        question,
        "times 1.41 where the gradient dominates, times 2 where the noise does, for the same samples",
        2.0,
        "the ends of one formula: the best rate is proportional to 1 / (G sqrt(N + 1)), G^2 = g^2 + s^2 / B",
        "which end applies is told by a log with the norms of batches and micro-batches",
        command,
    )


def _noise(log: str | Path) -> NoiseLog | None:
    """Gradient and noise of a log, by the narrowest window that tells them apart; None without such columns."""
    for window in (0.1, 0.3, 1.0):
        with contextlib.suppress(InputError):
            return read_noise(log, smoothing=window)
    return None


def _norms(log: str | Path) -> NormLog | None:
    """The gradient norms of a log, those of whole batches where there are several; None where there are none."""
    for column in (None, "grad_norm_l2"):
        with contextlib.suppress(InputError):
            return read_norms(log, column=column)
    return None


def _played(log: str | Path) -> Array | None:
    try:
        return from_log(log)
    except InputError as error:
        if error.argument == "lr":
            return None
        raise


def _of_the_log(log: str | Path, played: Array | None) -> list[Answer]:
    answers: list[Answer] = []
    if played is not None and played.max() > 0.0:
        every = max(1, played.size // MOST_STEPS)
        steps = played[::every]
        thinned = EXACT if every == 1 else f"{EXACT}; judged on one of {every} rates, {steps.size:,} steps"
        tuned = tune_base_lr(steps).value * math.sqrt(steps.size + 1.0)
        more = optimal_continuation(prefix=steps / steps.max(), n_steps=max(steps.size // 2, 1), D=_distance(steps))
        answers += [
            Answer(
                "How good was the schedule of the last run?", f"{tuned - 1:.1%} over the optimum of its length", tuned,
                "exact rate of the logged learning rates at their best factor", thinned,
                f"lastiterate bound {log}",
            ),
            Answer(
                "Train on from there for half as long: at which rate?",
                f"re-warm to {more.steps.max():.2f} of its peak, then linear to zero", float(more.steps.max()),
                "optimal continuation of the logged steps",
                f"{thinned}; for the same data: a change of distribution is not in the model",
                f"lastiterate continue {log} -n {max(played.size // 2, 1)}",
            ),
        ]  # fmt: skip
    with warnings.catch_warnings(record=True) as said:  # what the readers warn of belongs to the answer
        warnings.simplefilter("always")
        norms = _norms(log)
        if norms is None:
            return answers
        refined = refine(norms, rule="sgd")
    rises = float(np.median(norms.norms[-max(norms.norms.size // 10, 1) :]) / np.median(norms.norms))
    doubt = f"; norms at the end are {rises:.1f} times the median, which weight decay can cause" if rises > 1.2 else ""
    doubt += "".join(f"; {warning.message}" for warning in said)
    answers.append(
        Answer(
            "What do its gradient norms suggest?",
            f"the refined schedule, whose largest step is at {refined.peak:.0%}",
            float(refined.gain),
            "predicted gain over linear decay for gradient bounds equal to the recorded norms",
            f"a heuristic: the norms of the next run differ{doubt}",
            f"lastiterate refine {log} --rule sgd",
        )
    )
    return answers


def _distance(steps: Array) -> float:
    """The distance for which these steps, at maximum 1, have their best base learning rate."""
    return 1.0 / tune_base_lr(steps / steps.max()).base_lr
