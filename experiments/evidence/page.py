"""The page of the study: every number and every verdict in it is made from the stored results."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.stats import kstest

from .averages import ARMS
from .controls import WRONG_RATE
from .findings import DRAWS, SAMPLE, Finding, agreement, false_alarms, findings, label_of, rate_errors, values_of
from .repetition import compare_seeds
from .study import Block
from .summary import RANKED, against, counted, summary

__all__ = ["render"]

PROTOCOL = """\
Contrasts, margins, seeds and horizons stand in `experiments/evidence/study.toml` and were fixed before the run. The
base learning rate of every schedule is chosen on tuning seeds by the validation loss (convex problems: the
objective), on a grid by factors of two that starts where theory puts it and grows by up to four rates until the
best has two neighbours. What is printed comes from other seeds, and for networks from data that chose nothing. A
difference is candidate minus reference, paired by seed, in percent of the reference's mean loss, with Student's t
interval at 95%; below zero the candidate is better. p is corrected over the contrasts of a cell (Holm, 5%).
*matches*: proved equal within 0.5% of the reference (two one-sided tests, 5%); *slightly*: a difference was found,
and it is below that margin; *undecided*: neither, and the last column says which difference these seeds would have
found with probability 0.8. A star marks a *borderline* interval, which excludes zero by less than half its width
and may not do so with other seeds. No verdict rests on a *grid end*, a base learning rate without two neighbours,
or on *separable* data, where every training example is told right: the loss has no minimum then, and larger rates
are always better. These two rules were added after the run had found such data. The whole study takes about 17
minutes of one core."""

ROUNDS = ("l1", "l1-second-round", "l1-third-round")
PICTURES = {"horizon": "horizon", "refinement": "gains", "convex": "contrasts"}


def render(study: Mapping[str, Block], results: Mapping[str, Any], repeated: Mapping[str, Any] | None = None) -> str:
    """Return the page in Markdown.

    Parameters
    ----------
    study : mapping of str to Block
    results : mapping of str to dict
        As `read_results` returns them; a block that is missing is named as not run.
    repeated : mapping of str to dict, optional
        Results of the same blocks with other seeds.

    Returns
    -------
    str
    """
    parts = ["# Evidence: does theory's answer hold on real workloads?", "\n".join(summary(study, results))]
    parts += ["## What did not hold", "\n".join(f"* {item}" for item in against(study, results))]
    parts += ["## How it was done", PROTOCOL, _provenance(results)]
    for name, block in study.items():
        parts += [f"## {name.capitalize()}: {block.question}"]
        if name not in results:
            parts.append("Not run.")
            continue
        if name in PICTURES:
            parts.append(f"![{name}](evidence/{PICTURES[name]}.png)")
        parts += _EXTRAS.get(name, _plain)(block, results[name])
    parts += ["## Agreement: does the bound order schedules as the runs do?", *_agreement(study, results)]
    parts += ["## Base learning rates: does theory say where the grid should start?", *_rates(results)]
    if repeated:
        parts += ["## The same with other seeds", *_repeated(study, results, repeated)]
    return "\n\n".join(parts) + "\n"


def _provenance(results: Mapping[str, Any]) -> str:
    codes = Counter(tuple(sorted(result["provenance"].items())) for result in results.values())
    texts = [", ".join(f"{key} {value}" for key, value in dict(code).items()) for code, _ in codes.most_common()]
    return (
        "Made with "
        + "; and with ".join(texts)
        + ". `lastiterate evidence` repeats the study, and goes on where it was stopped."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _contrasts(found: Sequence[Finding]) -> str:
    head = (
        "workload",
        "steps",
        "candidate - reference",
        "difference, %",
        "95% interval",
        "lower in",
        "p",
        "reading",
        "detectable, %",
    )
    return _table(head, map(_row, found))


def _row(finding: Finding) -> list[str]:
    comparison = finding.comparison
    difference, contrast = comparison.difference, comparison.contrast
    equal = difference.spread == 0.0
    star = "\\*" if finding.excludes_zero and not finding.solid else ""
    return [
        finding.cell,
        f"{finding.n_steps:,}",
        contrast.name,
        _percent(finding.percent(difference.mean)),
        "all equal"
        if equal
        else f"[{_percent(finding.percent(difference.low))}, {_percent(finding.percent(difference.high))}]",
        f"{difference.n_below}/{difference.n}",
        f"{comparison.p_holm:.2g}",
        finding.reading + star if finding.decides else finding.reading,
        "" if equal else f"{abs(finding.percent(comparison.detectable)):.2g}",
    ]


def _percent(value: float) -> str:
    return f"{value:+.2f}" if abs(value) < 1000.0 else f"{value:+.1e}"


def _plain(block: Block, result: Mapping[str, Any]) -> list[str]:
    found = findings(block, result)
    return [_contrasts(found), counted(found)]


def _horizon(block: Block, result: Mapping[str, Any]) -> list[str]:
    found = findings(block, result)
    sentences: list[str] = []
    for name in dict.fromkeys(f.comparison.contrast.candidate for f in found):
        own = sorted((f for f in found if f.comparison.contrast.candidate == name), key=lambda f: f.n_steps)
        course = ", ".join(f"{f.percent(f.comparison.difference.mean):+.1f}% at {f.n_steps:,}" for f in own)
        clear = ", ".join(f"{f.n_steps:,}" for f in own if f.solid) or "no horizon"
        sentences.append(f"{name} against linear: {course} steps; clear of zero at {clear}.")
    return [_contrasts(found), " ".join(sentences)]


def _convex(block: Block, result: Mapping[str, Any]) -> list[str]:
    found = findings(block, result)
    rows: list[list[str]] = []
    for cell in result["cells"]:
        accuracy = values_of(cell, "accuracy")
        names = [
            n
            for n in ("linear", "constant", "wsd:cooldown=0.2", "cosine", "polynomial:power=2", "refined")
            if n in accuracy
        ]
        column = {name: f"{accuracy[name].mean():.2f}" for name in names}
        rows.append(
            [
                label_of(cell),
                *(
                    column.get(n, "")
                    for n in ("linear", "constant", "wsd:cooldown=0.2", "cosine", "polynomial:power=2", "refined")
                ),
            ]
        )
    head = ("training accuracy, %", "linear", "constant", "wsd", "cosine", "(1-s)^2", "refined")
    return [_contrasts(found), counted(found), _table(head, rows)]


def _refinement(block: Block, result: Mapping[str, Any]) -> list[str]:
    found = findings(block, result)
    rows: list[list[str]] = []
    for cell in result["cells"]:
        metrics, values = cell["metrics"], values_of(cell, block.metric)
        linear = values["linear"].mean()
        for name in [key.removesuffix("/gain") for key in metrics if key.endswith("/gain")]:
            rows.append(
                [
                    label_of(cell),
                    name,
                    f"{metrics[f'{name}/gain']:.3f}",
                    f"{metrics[f'{name}/guaranteed_gain']:.3f}",
                    f"{linear / values[name].mean():.4f}",
                    f"{metrics[f'{name}/peak']:.0%}",
                    f"{metrics[f'{name}/effective_length']:.2f}",
                    "front-loaded"
                    if metrics[f"{name}/front_loaded"]
                    else "late"
                    if metrics[f"{name}/degenerate"]
                    else "",
                ]
            )
    head = (
        "workload",
        "refined by",
        "predicted gain",
        "guaranteed",
        "measured: loss of linear / loss",
        "peak at",
        "effective length",
        "flag",
    )
    return [_contrasts(found), counted(found), _table(head, rows), _rounds(result)]


def _rounds(result: Mapping[str, Any]) -> str:
    """Whether refining on the norms of the refined run goes towards a fixed point."""
    texts: list[str] = []
    for cell in result["cells"]:
        steps = [cell["curves"][f"{name}/steps"] for name in ROUNDS]
        changes = [float(np.abs(after - before).max()) for before, after in pairwise(steps)]
        texts.append(f"{label_of(cell)} {' and '.join(f'{change:.2f}' for change in changes)}")
    return (
        "A schedule changes the norms that the next one is made from, and rounds of recording and refining go towards "
        "the schedule that is refined by its own norms. The largest change of a step, in units of the largest step, "
        f"in the second and in the third round: {'; '.join(texts)}."
    )


def _averages(block: Block, result: Mapping[str, Any]) -> list[str]:
    found = findings(block, result)
    rows: list[list[str]] = []
    for cell in result["cells"]:
        values = values_of(cell, block.metric)
        for name in (*ARMS, *cell["spec"]["options"]["schedules"]):
            rows.append(
                [
                    label_of(cell),
                    name,
                    f"{cell['metrics'][f'{name}/value']:.3f}",
                    f"{values[name].mean():.4f}",
                    f"{cell['metrics'][f'{name}/base_lr']:.3g}",
                ]
            )
    words = "; ".join(f"*{arm}* {text}" for arm, text in ARMS.items())
    head = ("workload", "what", "theory: worst case / linear's", "measured loss", "base learning rate")
    return [f"At a constant rate: {words}.", _contrasts(found), counted(found), _table(head, rows)]


def _controls(block: Block, result: Mapping[str, Any]) -> list[str]:
    found = findings(block, result)
    margin = block.plan.contrasts[0].margin or 0.0
    sentences: list[str] = [f"`linear-wrong-rate` is linear decay at {WRONG_RATE:g} times its best base learning rate."]
    for cell in result["cells"]:
        different, _ = false_alarms(cell["curves"]["pool/test"], margin)
        uniform = float(kstest(different, "uniform").pvalue)
        sentences.append(
            f"{label_of(cell)}: of {DRAWS} pairs of disjoint samples of {SAMPLE} seeds of one schedule, "
            f"{int((different <= 0.05).sum())} differ at the 5% level (10 expected), and their p values are "
            f"{'' if uniform > 0.05 else 'not '}uniform by Kolmogorov and Smirnov's test (p = {uniform:.2g})."
        )
    return [_contrasts(found), " ".join(sentences)]


def _agreement(study: Mapping[str, Block], results: Mapping[str, Any]) -> list[str]:
    rows: list[list[str]] = []
    for name in (*RANKED, "averages"):
        if name in results:
            rows += [
                [name, a.cell, f"{a.n_steps:,}", str(a.n_schedules), f"{a.tau:+.2f}", f"{a.p_value:.3f}"]
                for a in agreement(study[name], results[name])
            ]
    text = (
        "Kendall's tau between the exact rate of each schedule at its best base learning rate (constant gradient "
        "bounds) and its mean loss; p by permutation, one-sided. With four schedules no p "
        "is below 1/24, with three none below 1/6. The averages of a constant rate are ranked together with the "
        "schedules beside them."
    )
    return [text, _table(("block", "workload", "steps", "schedules", "tau", "p"), rows)]


def _rates(results: Mapping[str, Any]) -> list[str]:
    rows = [
        [name, str(errors.size), f"{np.median(errors):+.1f}", f"{(np.abs(errors) <= 1.001).mean():.0%}"]
        for name, errors in rate_errors(list(results.values())).items()
    ]
    text = (
        "The best base learning rate of each schedule relative to linear decay's, as chosen and as predicted from the "
        "shape alone: the median of log2(chosen / predicted), and how often they lie within a factor of two."
    )
    return [text, _table(("schedule", "cells", "median error, octaves", "within a factor of two"), rows)]


def _repeated(study: Mapping[str, Block], results: Mapping[str, Any], repeated: Mapping[str, Any]) -> list[str]:
    text, rows = compare_seeds(study, results, repeated)
    return [text, _table(("block", "clear of zero", "same sign again", "borderline", "same sign again"), rows)]


_EXTRAS: dict[str, Any] = {
    "horizon": _horizon,
    "convex": _convex,
    "ridge": _convex,
    "refinement": _refinement,
    "averages": _averages,
    "controls": _controls,
}
