"""The gallery scripts in docs/gallery run and write a picture."""

import runpy
import sys
from pathlib import Path

import pytest

GALLERY = sorted((Path(__file__).resolve().parents[3] / "docs" / "gallery").glob("plot_*.py"))


@pytest.mark.figures
@pytest.mark.parametrize("script", GALLERY, ids=lambda path: path.stem)
def test_gallery_script_writes_a_picture(script, tmp_path, monkeypatch):
    import matplotlib as mpl

    mpl.use("Agg")
    target = tmp_path / "picture.png"
    monkeypatch.setattr(sys, "argv", [str(script), str(target)])
    runpy.run_path(str(script), run_name="__main__")
    assert target.stat().st_size > 10_000
