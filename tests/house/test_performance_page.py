"""The page of measured ratios is what its numbers say."""

import json
from pathlib import Path

import pytest
from performance_page import STORED, page, picture_name

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def stored():
    return json.loads(STORED.read_text())


def test_the_page_is_current(stored):
    assert (DOCS / "performance.md").read_text() == page(stored["now"], stored["before"])


def test_every_curve_has_its_picture(stored):
    drawn = {picture_name(name) for name, noted in stored["now"]["benchmarks"].items() if "scaling" in noted}
    assert drawn
    assert drawn == {path.name for path in (DOCS / "performance").iterdir()}
