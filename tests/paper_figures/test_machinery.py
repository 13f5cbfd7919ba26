"""Registry, cache, page and runner, on small figures made for the tests."""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.figure import Figure as Canvas
from typer.testing import CliRunner

import lastiterate as li
from lastiterate.cli import app
from lastiterate.paper_figures import run
from lastiterate.paper_figures.figures import table
from lastiterate.paper_figures.figures.table import select
from lastiterate.paper_figures.machinery.cache import Cache
from lastiterate.paper_figures.machinery.numbers import series
from lastiterate.paper_figures.machinery.registry import Figure, FigureCheck, close, holds
from lastiterate.theory.base.validation import InputError


def draw(data):
    canvas = Canvas()
    canvas.subplots().plot(data["x"])
    return canvas


@pytest.fixture
def calls():
    return []


@pytest.fixture
def two_figures(monkeypatch, calls):
    """Two cheap figures in the place of the registry's: one agrees with its claim, one differs."""

    def compute(name, value):
        def numbers():
            calls.append(name)
            return {"x": [0.0, value]}

        return lambda settings: settings.cache.get(name, numbers)

    def make(name, value):
        def check(data):
            return [
                close("value", data["x"][1], 1.0, 0.1, kind="regression"),
                holds("order", True, "as there", kind="published", source="arXiv 0000.00000, figure 1, p. 2"),
            ]

        return Figure(
            name, "Paper (0000.00000)", "shows", "must see", "caption", "1 s", compute(name, value), draw, check
        )

    figures = {"good": make("good", 1.0), "bad": make("bad", 2.0)}
    monkeypatch.setattr(table, "all_figures", lambda: figures)
    return figures


def test_pictures_page_and_cache_are_written_and_nothing_else(two_figures, tmp_path):
    outcomes = run.make_figures(out=tmp_path, progress=False)
    assert [outcome.state for outcome in outcomes] == ["pass", "differs"]
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    pictures = {f"{name}.{suffix}" for name in ("good", "bad") for suffix in ("png", "pdf")}
    assert written == pictures | {"figures.md", "cache/quick/good.json", "cache/quick/bad.json"}


def test_page_shows_what_differs_with_its_numbers(two_figures, tmp_path):
    run.make_figures(out=tmp_path, progress=False)
    page = (tmp_path / "figures.md").read_text()
    assert "| value: 1 ± 0.1 | regression | 2 | **differs** |" in page
    assert "| value: 1 ± 0.1 | regression | 1 | pass |" in page
    assert "| order | published: arXiv 0000.00000, figure 1, p. 2 | as there | pass |" in page
    assert "Of 2 published orderings and numbers, 2 were seen, 0 were not." in page
    assert "Of 0 statements of theory, 0 hold" in page
    assert "Of 2 regression values and margins of our own, 1 are as before, 1 are not." in page
    assert "![good](good.png)" in page


def test_warm_cache_computes_nothing_and_a_deleted_entry_only_itself(two_figures, calls, tmp_path):
    run.make_figures(out=tmp_path, progress=False)
    run.make_figures(out=tmp_path, progress=False)
    assert calls == ["good", "bad"]
    (tmp_path / "cache/quick/bad.json").unlink()
    run.make_figures(out=tmp_path, progress=False)
    assert calls == ["good", "bad", "bad"]


@pytest.mark.parametrize("content", ["", "{", '{"schema": 1}', "[1]", '"x"', b"\xff\xfe\x00"])
def test_corrupted_cache_entry_is_computed_again_with_a_warning(content, calls, tmp_path):
    cache = Cache(tmp_path)
    assert cache.get("entry", lambda: 1.5) == 1.5
    path = tmp_path / "entry.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.warns(UserWarning, match=r"entry\.json is not a readable cache entry"):
        assert cache.get("entry", lambda: 2.5) == 2.5
    assert json.loads(path.read_text())["value"] == 2.5


def test_entry_made_by_other_code_is_computed_again(monkeypatch, tmp_path):
    from lastiterate.paper_figures.machinery import cache as machinery

    def of_package(value):
        compute = lambda: value  # noqa: E731 - its module is set
        compute.__module__ = "lastiterate.paper_figures.figures.spa"
        return compute

    cache = Cache(tmp_path)
    assert cache.get("entry", of_package(1)) == 1
    assert cache.get("entry", of_package(2)) == 1
    monkeypatch.setattr(machinery, "module_code", lambda module: f"changed below {module}")
    assert cache.get("entry", of_package(3)) == 3


def test_what_a_figure_imports_decides_its_entries(tmp_path):
    """A copy of the package whose simulators differ by one number gives another code; a comment gives the same."""
    from lastiterate.experiments.sweep.code import module_code

    script = "from lastiterate.experiments.sweep.code import module_code as code; print(code({!r}))"
    package = tmp_path / "lastiterate"
    shutil.copytree(Path(li.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__", "*.nb?"))

    def code(module):
        command = [sys.executable, "-c", script.format(module)]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    figure = "lastiterate.paper_figures.figures.spa"
    assert code(figure) == module_code(figure)
    changed = package / "theory/simulators/simulate.py"
    changed.write_text(changed.read_text() + "# a comment\n")
    assert code(figure) == module_code(figure)
    changed.write_text(changed.read_text() + "CHANGED = 1\n")
    assert code(figure) != module_code(figure)


def test_entry_carries_its_provenance(tmp_path):
    Cache(tmp_path).get("entry", lambda: {"a": [1]})
    provenance = json.loads((tmp_path / "entry.json").read_text())["provenance"]
    assert {"source", "seconds", "created", "python", "machine", "versions"} == set(provenance)


def test_what_json_cannot_hold_is_an_error_and_leaves_no_entry(tmp_path):
    with pytest.raises(TypeError, match="object"):
        Cache(tmp_path).get("entry", lambda: {"a": object()})
    assert list(tmp_path.iterdir()) == []


def test_unknown_figure_lists_the_known_ones_and_suggests_the_nearest():
    with pytest.raises(InputError, match=r"rex-constants.*did you mean rex-constants\?"):
        select(["rex-constant"])


def test_absent_data_folder_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere"):
        run.make_figures(["rex-constants"], out=tmp_path, data=tmp_path / "nowhere", progress=False)


def test_figure_without_its_data_is_skipped_and_the_page_says_what_to_provide(two_figures, monkeypatch, tmp_path):
    def compute(settings):
        raise run.MissingData("--data", None, "a folder with training logs")

    needy = Figure("needy", "Paper", "shows", "must", "caption", "1 s", compute, draw, lambda data: [])
    monkeypatch.setattr(table, "all_figures", lambda: {"needy": needy, **two_figures})
    with pytest.warns(UserWarning, match="needy skipped"):
        outcomes = run.make_figures(out=tmp_path, progress=False)
    assert [outcome.state for outcome in outcomes] == ["skipped", "pass", "differs"]
    assert "a folder with training logs" in (tmp_path / "figures.md").read_text()


def test_command_prints_outcomes(two_figures, tmp_path):
    result = CliRunner().invoke(app, ["figures", "--out", str(tmp_path), "--json"])
    assert result.exit_code == 0, result.output
    rows = {row["figure"]: row for row in json.loads(result.output)["rows"]}
    assert rows["good"]["outcome"] == "pass"
    assert (rows["bad"]["published"], rows["bad"]["theory"], rows["bad"]["regression"]) == ("1/1", "", "0/1")


def test_formats_and_numbers_are_those_that_were_asked_for(two_figures, tmp_path):
    words = ["figures", "good", "--out", str(tmp_path), "--format", "svg", "--format", "pdf", "--csv"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert {path.suffix for path in tmp_path.iterdir() if path.is_file()} == {".svg", ".pdf", ".csv", ".md"}
    assert "good.pdf" in (tmp_path / "figures.md").read_text()
    (outcome,) = run.make_figures(["good"], tmp_path, progress=False)
    written = list(csv.reader((tmp_path / "good.csv").read_text().splitlines()))
    assert written[0] == ["series", "place", "value"]
    assert written[1:] == [[name, place, str(value)] for name, place, value in series(outcome.data)]


def test_figures_of_a_paper():
    assert {"refine-synthetic", "theorem10-optimum"} <= {figure.name for figure in table.select([], "2310.07831")}
    with pytest.raises(InputError, match="--paper"):
        table.select([], "1234.56789")


def test_every_registered_figure_is_described():
    for name, figure in table.all_figures().items():
        assert name == figure.name
        assert all((figure.paper, figure.shows, figure.must_see, figure.caption, figure.cost))


@pytest.mark.parametrize(
    "source", ["", "the paper", "arXiv 2310.07831", "arXiv 2310.07831, figure 3", "figure 3, p. 12"]
)
def test_a_published_target_needs_a_place_that_can_be_opened(source):
    with pytest.raises(InputError, match="source"):
        holds("linear is best", True, "1 against 2", kind="published", source=source)
    assert holds("linear is best", True, "1 against 2", kind="theory", source=source).passed


@pytest.mark.parametrize("source", ["arXiv 2310.07831, figure 3, p. 12", "arXiv 2310.07831v2, abstract, p. 1"])
def test_places(source):
    assert close("a", 1.0, 1.0, 0.1, kind="published", source=source).source == source


def test_kinds_of_targets():
    with pytest.raises(InputError, match="kind"):
        FigureCheck("a", "b", True, "guess")  # type: ignore[arg-type]


def test_no_constant_heading_or_test_shouts_that_ours_is_published():
    """Numbers of this toolkit's own were once called so; the word in capitals is how it began."""
    root = Path(__file__).parents[2]
    folders = (
        "theory",
        "solvers",
        "experiments",
        "paper_figures",
        "src/lastiterate/commands",
        "tests",
        "docs",
        "benchmarks",
    )
    shouted = "published".upper()
    files = [file for folder in folders for end in ("py", "md") for file in (root / folder).rglob(f"*.{end}")]
    assert len(files) > 100
    assert [str(file) for file in [*files, *root.glob("*.md")] if shouted in file.read_text(encoding="utf-8")] == []
