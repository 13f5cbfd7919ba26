"""The documentation site: a page for every public name, no warning, nothing loaded from elsewhere, true maps."""

import pkgutil
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from browser import browse, needs_browser

import lastiterate as li

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ELSEWHERE = re.compile(r'<(?:script|img|iframe)[^>]*\bsrc="(?:https?:)?//|<link[^>]*\bhref="(?:https?:)?//')


@pytest.fixture
def public_names(monkeypatch):
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(DOCS / "_ext"))
    import public_names

    return public_names


def test_every_public_name_has_a_page(public_names):
    pages = public_names.pages()
    named = {path.split("/")[-1] for path in pages if path != "index"}
    assert named == set(li.__all__) - {"__version__"}
    assert len({path.lower() for path in pages}) == len(pages), "names that a file system without capitals would merge"
    assert "\nOther\n" not in pages["index"], "a name without a heading: add its module to GROUPS"


def test_the_map_of_theorems_names_functions_and_tests_that_exist():
    rows = [line.split("|")[1:-1] for line in (DOCS / "theory.md").read_text().splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    for statement, page, functions, tests in rows[1:]:
        assert re.search(r"\]\(\w+\.md", page), statement
        names = re.findall(r"`(\w+)`", functions)
        assert names, statement
        for name in names:
            assert hasattr(li, name), name
        files = re.findall(r"`(tests/[\w/]+\.py)`", tests)
        assert files, statement
        for file in files:
            assert (ROOT / file).is_file(), file


def test_every_guide_is_reached_from_the_start_page():
    start = (DOCS / "index.md").read_text()
    guides = {path.stem for path in DOCS.glob("*.md")} - {"index"}
    assert guides <= set(re.findall(r"^([\w/]+)$", start, flags=re.MULTILINE))


def test_names_with_dots_in_guides_and_docstrings_exist():
    texts = [*DOCS.glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    texts += [
        file
        for folder in ("theory", "solvers", "experiments", "paper_figures")
        for file in ROOT.glob(f"{folder}/**/*.py")
    ]
    ours = r"`((?:lastiterate|theory|solvers|experiments|paper_figures)\.[\w.]*\w)`"
    names = {name for text in texts for name in re.findall(ours, text.read_text())}
    assert len(names) > 3
    for name in names:
        assert pkgutil.resolve_name(name if name.startswith("lastiterate.") else f"lastiterate.{name}"), name


def letters(text):
    return "".join(re.findall(r"[a-z0-9]", text.lower()))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site, with the scripts of the gallery not run, and refuse every warning."""
    pytest.importorskip("sphinx_gallery")
    pytest.importorskip("furo")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "-D", "plot_gallery=0"]
    done = subprocess.run(
        [*command, "-d", str(folder / "doctrees"), str(DOCS), str(folder / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.mark.slow
def test_the_site_has_a_page_for_every_name_and_loads_nothing(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(li.__all__)
    assert [page.name for page in pages if ELSEWHERE.search(page.read_text())] == []


@pytest.mark.slow
def test_every_guide_has_its_page(site):
    for guide in DOCS.glob("*.md"):  # a page of Sphinx's own, such as search, would take the place of one of its name
        title = re.match(r"# (.*)", guide.read_text())
        shown = re.search("<h1>(.*?)<a ", (site / guide.with_suffix(".html").name).read_text())
        if title is not None:
            assert shown is not None, guide.name
            assert letters(unescape(re.sub("<.*?>", "", shown[1]))) == letters(title[1])


# in this theme what is too wide for a page scrolls the box around all of it
SIDEWAYS = """
addEventListener('load', () => {
  for (const frame of document.querySelectorAll('iframe')) {
    const box = frame.contentDocument.querySelector('.content')
    const line = document.body.appendChild(document.createElement('pre'))
    line.textContent = `${frame.getAttribute('src')} ${box.scrollWidth - box.clientWidth}`
  }
})
"""


@pytest.mark.slow
@needs_browser
def test_no_page_scrolls_sideways_on_a_phone(site, tmp_path):
    (site / "wide.html").write_text(
        '<div class="content" style="overflow-x: auto"><p style="width: 900px">wide</p></div>'
    )
    pages = ["wide.html", "genindex.html", "api/index.html", *(f"{guide.stem}.html" for guide in DOCS.glob("*.md"))]
    frames = "".join(f'<iframe src="{page}" style="width: 320px; height: 900px"></iframe>' for page in pages)
    (site / "host.html").write_text(f"<!doctype html><body>{frames}<script>{SIDEWAYS}</script>")
    printed = browse(
        tmp_path,
        "--allow-file-access-from-files",
        "--virtual-time-budget=9000",
        "--dump-dom",
        f"file://{site}/host.html",
    )
    found = dict(line.split() for line in re.findall("<pre>(.*?)</pre>", printed))
    assert found.keys() == set(pages)
    assert int(found.pop("wide.html")) > 400
    assert [page for page, over in found.items() if int(over) > 1] == []
