"""The gallery scripts in docs/gallery run, and draw."""

import runpy
from pathlib import Path

import pytest

GALLERY = sorted((Path(__file__).resolve().parents[3] / "docs" / "gallery").glob("plot_*.py"))


@pytest.mark.figures
@pytest.mark.parametrize("script", GALLERY, ids=lambda path: path.stem)
def test_gallery_script_draws(script, tmp_path, monkeypatch):
    from matplotlib import pyplot

    pyplot.close("all")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(script), run_name="__main__")
    figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
    assert figures
    for figure in figures:
        drawn = [*figure.axes, *(child for axes in figure.axes for child in axes.child_axes)]
        assert any(axes.has_data() for axes in drawn)
    assert list(tmp_path.iterdir()) == []
    pyplot.close("all")
