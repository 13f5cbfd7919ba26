"""The report of a replay: one HTML file that needs nothing else, reads on a phone and in the dark, and prints."""

import base64
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lastiterate.experiments.plots.replay import figures, rank_figure
from lastiterate.experiments.replay.result import Replay, WorkloadReplay
from lastiterate.theory.base.files import write_atomically

from .findings import method, refinement, theory, verdict
from .tables import contrasts, provenance, results, theory_rates

__all__ = ["ENOUGH_WORKLOADS", "write_report"]

ENOUGH_WORKLOADS = 5
"""From so many on mean ranks are shown: with five schedules, two ranks on fewer workloads can hardly differ."""
DPI = 200


def write_report(result: Replay, path: str | Path, *, introduction: Sequence[str] = ()) -> Path:
    """Write the report to ``path`` and its figures as PNG files to the folder ``<name>_figures`` beside it.

    Parameters
    ----------
    result : Replay
    path : str or Path
        Ends in .html by convention.
    introduction : sequence of str
        Paragraphs that stand between the verdict and the contents: why this was done.

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
    from jinja2 import Environment, PackageLoader, StrictUndefined

    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = target.parent / f"{target.stem}_figures"
    folder.mkdir(exist_ok=True)
    environment = Environment(
        loader=PackageLoader(__package__ or "", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(
        title=f"Replay of learning-rate schedules: {', '.join(w.workload for w in result.workloads)}",
        introduction=introduction,
        ranks=_ranks(result, folder),
        workloads=[_workload(number, workload, folder) for number, workload in enumerate(result.workloads, 1)],
        command=result.provenance.get("command", ""),
        provenance=provenance(result),
    )
    write_atomically(target, page.encode(errors="backslashreplace"))
    return target


def _ranks(result: Replay, folder: Path) -> dict[str, Any] | None:
    if len(result.workloads) < ENOUGH_WORKLOADS:
        return None
    ranking = result.ranking()
    tests = "" if math.isnan(ranking.p_value) else f"Friedman's test that all are alike: p = {ranking.p_value:.2g}."
    if math.isfinite(ranking.critical_difference):
        tests += (
            f" Two schedules whose mean ranks are less than {ranking.critical_difference:.2g} apart do not differ "
            f"(Nemenyi, level {ranking.level:g}), if the workloads are independent."
        )
    seen = ", ".join(
        f"{name} {rank:.2g}" for name, rank in sorted(ranking.mean_ranks.items(), key=lambda item: item[1])
    )
    caption = "Mean ranks; the shortest bar is the best schedule."
    return {"tests": tests, "picture": _picture("ranks", caption, f"Bars: {seen}.", rank_figure(result), folder)}


def _workload(number: int, workload: WorkloadReplay, folder: Path) -> dict[str, Any]:
    drawn = {
        name: _picture(f"{workload.workload}_{name}", caption, seen, figure, folder)
        for name, caption, seen, figure in figures(workload)
    }
    beside_norms = [drawn.pop(name) for name in ("norms", "schedules")] if workload.rounds else []
    return {
        "anchor": f"workload-{number}",
        "name": workload.workload,
        "optimizer": workload.optimizer,
        "n_steps": workload.schedules[0].steps.size,
        "n_seeds": len(workload.report_seeds),
        "metric": workload.metric.replace("_", " "),
        "direction": "higher" if workload.higher_is_better else "lower",
        "verdict": verdict(workload),
        "contrasts": contrasts(workload),
        "theory": theory_rates(workload),
        "agreement": theory(workload),
        "results": results(workload),
        "refinement": refinement(workload),
        "norms": beside_norms,
        "figures": list(drawn.values()),
        "method": method(workload),
    }


def _picture(name: str, caption: str, seen: str, figure: Figure, folder: Path) -> dict[str, Any]:
    """Write a figure to its own file, and return what the page says of it, with the picture inside."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    safe = "".join(character if character.isalnum() or character in "-_" else "-" for character in name)
    write_atomically(folder / f"{safe}.png", buffer.getvalue())
    width, height = (round(DPI * inches) for inches in figure.get_size_inches())
    source = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return {"caption": caption, "seen": seen, "source": source, "width": width, "height": height}
