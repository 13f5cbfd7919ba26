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
from lastiterate.experiments.replay.result import Replay, WorkloadReplay
from lastiterate.theory.base.files import write_atomically

from .findings import contrast_rows, findings, interval_text

__all__ = ["table", "write_report"]


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

    Raises
    ------
    OSError
        If the place cannot be written to.

    Examples
    --------
    >>> import tempfile
    >>> import lastiterate as li
    >>> small = {"n_steps": 20, "base_lrs": [3], "extensions": 0, "n_tuning_seeds": 1, "n_seeds": 2, "n_jobs": 1}
    >>> result = li.replay("digits_logistic", ["constant"], **small)
    >>> write_report(result, Path(tempfile.mkdtemp(), "report.html")).name
    'report.html'
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


def _overview(result: Replay, folder: Path) -> str:
    parts: list[str] = []
    if len(result.workloads) > 1:
        ranking = result.ranking()
        tests = (
            "" if math.isnan(ranking.p_value) else f" Friedman's test that all are alike: p = {ranking.p_value:.2g}."
        )
        if math.isfinite(ranking.critical_difference):
            tests += (
                f" Two schedules whose mean ranks are less than {ranking.critical_difference:.2g} apart do not differ "
                "(Nemenyi, level 0.05), if the workloads are independent."
            )
        caption = f"Ranks by the mean on each workload.{tests}"
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
    parts.extend([_contrast_table(workload), _best_table(workload)])
    for name, caption, figure in figures(workload):
        parts.append(_figure(f"{workload.workload}_{name}", caption, figure, folder))
    return "\n".join(parts)


def _best_table(workload: WorkloadReplay) -> str:
    header = ["schedule", "base lr", f"mean of {workload.metric}", "std. deviation",
              f"minus {workload.baseline} [95%]", "optimum in grid", "fitted lr", "diverged", "bound / D"]  # fmt: skip
    rows: list[list[str]] = []
    for row in workload.table():
        rows.append(
            [
                row.schedule,
                "" if row.base_lr is None else f"{row.base_lr:.3g}",
                f"{row.mean:.4g}",
                "" if math.isnan(row.spread) else f"{row.spread:.2g}",
                "" if row.difference is None else interval_text(row.difference),
                row.grid,
                "" if row.response is None or math.isnan(row.response.best_lr) else f"{row.response.best_lr:.3g}",
                row.diverged,
                "" if math.isnan(row.bound) else f"{row.bound:.4g}",
            ]
        )
    return table(header, rows)


def _contrast_table(workload: WorkloadReplay) -> str:
    rows = contrast_rows(workload)
    return table(list(rows[0]), [list(row.values()) for row in rows]) if rows else ""


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
        ["Tuning seeds", ", ".join(map(str, facts.get("tuning_seeds", [])))],
        ["Fresh seeds", ", ".join(map(str, facts.get("seeds", [])))],
        ["Versions", versions],
    ]
    lines = "".join(f"<tr><td>{escape(name)}</td><td><code>{escape(text)}</code></td></tr>" for name, text in rows)
    style = "<style>.facts td { text-align: left; white-space: normal; }</style>"
    return f"<h2>Provenance</h2>{style}<table class='facts'><tbody>{lines}</tbody></table>"
