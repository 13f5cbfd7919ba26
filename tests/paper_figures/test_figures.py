"""Every figure in quick mode: drawn, and in agreement with what was published."""

import pytest

from lastiterate.paper_figures.figures.table import all_figures
from lastiterate.paper_figures.run import make_figures

# figures whose measured outcome is known to differ from a published claim; the page shows the numbers
DIFFERS = {
    "logistic-suite": "refined schedules rank just behind linear decay and cosine on these sets",
    "deep-learning": "a hundred steps of the tiny sizes are too few to gain from decay: the constant schedule leads",
    "forecast-weight-norms": "within one decay a law in the learning rate itself does as well; the last matrix is off",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("figures")


@pytest.mark.figures
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", all_figures())
def test_figure_shows_what_was_published(name, folder):
    (outcome,) = make_figures([name], folder, progress=False)
    assert (folder / f"{name}.png").stat().st_size > 5_000
    failed = [f"{check.claim}: {check.measured}" for check in outcome.checks if not check.passed]
    assert outcome.state == ("differs" if name in DIFFERS else "pass"), "\n".join(failed)
