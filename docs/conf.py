"""The documentation site: Sphinx reads the guides, runs the gallery and writes a page for every public name."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "lastiterate"
author = "The lastiterate developers"
project_copyright = author
version = release = version_of("lastiterate")

extensions = [
    "sphinx.ext.autodoc",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
    "public_names",  # _ext/public_names.py
]
exclude_patterns = ["_build", "_ext", "gallery", "auto_gallery/*.ipynb", "auto_gallery/*.py"]
exclude_patterns += ["**/sg_execution_times.rst"]  # loads scripts from elsewhere
suppress_warnings = ["ref.python"]  # `lower` in a docstring may be a field of several results: it then links to one
default_role = "py:obj"
highlight_language = "none"

myst_heading_anchors = 4  # links such as design.md#the-theorem
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "none"  # the docstrings name types with shapes and units
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # autodoc lists them

sphinx_gallery_conf = {
    "examples_dirs": "gallery",
    "gallery_dirs": "auto_gallery",
    "abort_on_example_error": True,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "write_computation_times": False,  # a page that loads scripts from elsewhere
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "capture_repr": ("_repr_html_", "__repr__"),
    "within_subsection_order": "FileNameSortKey",
}

html_theme = "furo"
html_title = f"lastiterate {version}"
html_static_path = ["_static"]
html_css_files = ["narrow.css"]
html_show_sphinx = False
