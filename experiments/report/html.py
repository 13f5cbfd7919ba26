"""The report of a replay: one HTML file that needs nothing else, reads on a phone and prints."""

import base64
import io
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path
from string import Template

from matplotlib.figure import Figure

from lastiterate.experiments.plots.replay import figures, rank_figure
from lastiterate.experiments.replay.result import Replay, Row, WorkloadReplay
from lastiterate.theory.base.files import write_atomically

__all__ = ["findings", "table", "write_report"]

SIGNIFICANT = 0.05


def write_report(result: Replay, path: str | Path) -> Path:
    """Write the report to ``path`` and its figures as PNG files to the folder ``<name>_figures`` beside it.

    Parameters
    ----------
    result : Replay
    path : str or Path
        Ends in .html by convention.

    Returns
    -------
    Path
        The HTML file.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent / f"{target.stem}_figures"
    folder.mkdir(exist_ok=True)
    parts = [_overview(result, folder)]
    parts.extend(_section(workload, folder) for workload in result.workloads)
    parts.append(_provenance(result))
    title = f"Replay of learning-rate schedules: {', '.join(w.workload for w in result.workloads)}"
    template = Template(Path(__file__).with_name("report.html").read_text(encoding="utf-8"))
    page = template.substitute(title=escape(title), body="\n".join(parts))
    write_atomically(target, page.encode())
    return target


def findings(workload: WorkloadReplay) -> list[str]:
    """Say in sentences what was found on one workload, and how sure it is."""
    rows = workload.table()
    best = rows[0]
    if best.base_lr is None:
        return ["Every schedule had a diverged run at every base learning rate; nothing can be compared."]
    n_seeds = len({run.seed for schedule in workload.schedules for run in schedule.runs})
    seeds = "1 seed" if n_seeds == 1 else f"{n_seeds} seeds"
    metric = workload.metric.replace("_", " ")
    sentences = [
        f"Best on {metric}: {best.schedule}, {_plus_minus(best)} at base learning rate {best.base_lr:g} ({seeds})."
    ]
    for row in rows:
        if row.schedule == "refined" and row.difference is not None:
            sentences.append(f"Refined against {workload.baseline} decay: {_compared(row, workload.higher_is_better)}.")
    if best.schedule == workload.baseline:
        sentences.append("No schedule had a better mean than linear decay.")
    elif best.difference is not None and not best.schedule.startswith("refined"):
        compared = _compared(best, workload.higher_is_better)
        sentences.append(f"{best.schedule} against {workload.baseline} decay: {compared}.")
    for round_ in workload.rounds:
        refinement = round_.refinement
        sentences.append(
            f"{round_.name}, from the norms of {round_.source} at {round_.base_lr:g}: predicted gain "
            f"{refinement.gain:.3g}, maximum at {refinement.peak:.0%} of training"
            + (", degenerate." if refinement.degenerate else ".")
        )
    if len(workload.rounds) > 1:
        sentences.append(f"Refining again: {workload.verdict()}.")
    open_ends = [row.schedule for row in rows if row.grid != "interior"]
    if open_ends:
        sentences.append(f"The best base learning rate lies at the end of the grid for: {', '.join(open_ends)}.")
    for name, tau in workload.agreement().items():
        norms = "the baseline's norms" if name == "bound" else "each schedule's own norms"
        if not math.isnan(tau):
            sentences.append(f"Rank correlation (Kendall) of result and convex bound with {norms}: {tau:.2f}.")
    return sentences


def _compared(row: Row, higher_is_better: bool) -> str:
    difference = row.difference
    if difference is None:
        return "not comparable"
    better = (difference.mean > 0) == higher_is_better
    word = "no difference" if difference.mean == 0 else "better" if better else "worse"
    if math.isnan(difference.p_value):
        return f"{word} by {abs(difference.mean):.3g} (one seed: no statement about certainty)"
    sure = "significant" if difference.p_value < SIGNIFICANT else "not significant"
    return (
        f"{word} by {abs(difference.mean):.3g}, 95% interval {difference.low:.3g} to "
        f"{difference.high:.3g}, p = {difference.p_value:.2g} ({sure})"
    )


def _plus_minus(row: Row) -> str:
    return f"{row.mean:.4g}" + ("" if math.isnan(row.standard_error) else f" ± {row.standard_error:.2g}")


def _overview(result: Replay, folder: Path) -> str:
    parts: list[str] = []
    if len(result.workloads) > 1:
        ranking = result.ranking()
        p_value = (
            "" if math.isnan(ranking.p_value) else f" Friedman's test that all are alike: p = {ranking.p_value:.2g}."
        )
        caption = f"Ranks by the best mean on each workload.{p_value}"
        parts.append(_figure("ranks", caption, rank_figure(result), folder))
    return "\n".join(parts)


def _section(workload: WorkloadReplay, folder: Path) -> str:
    parts = [f"<h2>{escape(workload.workload)}</h2>"]
    direction = "higher" if workload.higher_is_better else "lower"
    n_steps = workload.schedules[0].steps.size
    parts.append(
        f"<p class='note'>Optimiser {escape(workload.optimizer)}, {n_steps} steps, ranked by "
        f"{escape(workload.metric)} ({direction} is better), {workload.seconds:.0f} s.</p>"
    )
    parts.append(f"<ul>{''.join(f'<li>{escape(sentence)}</li>' for sentence in findings(workload))}</ul>")
    notes = [note for round_ in workload.rounds for note in round_.notes]
    parts.extend(f"<p class='warning'>{escape(note)}</p>" for note in notes)
    parts.append(_best_table(workload))
    for name, caption, figure in figures(workload):
        parts.append(_figure(f"{workload.workload}_{name}", caption, figure, folder))
    return "\n".join(parts)


def _best_table(workload: WorkloadReplay) -> str:
    header = ["schedule", "base lr", f"{workload.metric} ± std. error", f"difference to {workload.baseline} [95%]",
              "p", "optimum in grid", "fitted lr", "diverged", "bound / D"]  # fmt: skip
    rows: list[list[str]] = []
    for row in workload.table():
        difference = row.difference
        interval = "" if difference is None else f"{difference.mean:+.3g} [{difference.low:.3g}, {difference.high:.3g}]"
        p_value = "" if difference is None or math.isnan(difference.p_value) else f"{difference.p_value:.2g}"
        rows.append(
            [
                row.schedule,
                "" if row.base_lr is None else f"{row.base_lr:.3g}",
                _plus_minus(row),
                interval,
                p_value,
                row.grid,
                "" if row.response is None or math.isnan(row.response.best_lr) else f"{row.response.best_lr:.3g}",
                row.diverged,
                "" if math.isnan(row.bound) else f"{row.bound:.4g}",
            ]
        )
    return table(header, rows)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return an HTML table that scrolls sideways on narrow screens.

    >>> table(["a"], [["<1"]])
    "<div class='wide'><table><thead><tr><th>a</th></tr></thead><tbody><tr><td>&lt;1</td></tr></tbody></table></div>"
    """
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def _figure(name: str, caption: str, figure: Figure, folder: Path) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    safe = "".join(character if character.isalnum() or character in "-_" else "-" for character in name)
    write_atomically(folder / f"{safe}.png", buffer.getvalue())
    data = base64.b64encode(buffer.getvalue()).decode()
    return (
        f"<figure><img alt='{escape(caption, quote=True)}' src='data:image/png;base64,{data}'>"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def _provenance(result: Replay) -> str:
    facts = result.provenance
    versions = ", ".join(f"{name} {number}" for name, number in facts.get("versions", {}).items())
    settings = ", ".join(f"{name} {value}" for name, value in facts.get("settings", {}).items())
    rows = [
        ["Date", str(facts.get("date", ""))],
        ["Command", str(facts.get("command", ""))],
        ["Wall time", f"{facts.get('seconds', math.nan):.0f} s"],
        ["Machine", str(facts.get("machine", ""))],
        ["Device", str(facts.get("device", ""))],
        ["Settings", settings],
        ["Seeds", ", ".join(map(str, facts.get("seeds", [])))],
        ["Versions", versions],
    ]
    lines = "".join(f"<tr><td>{escape(name)}</td><td><code>{escape(text)}</code></td></tr>" for name, text in rows)
    style = "<style>.facts td { text-align: left; white-space: normal; }</style>"
    return f"<h2>Provenance</h2>{style}<table class='facts'><tbody>{lines}</tbody></table>"
