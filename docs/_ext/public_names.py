"""One page for every public name, written from the facade's stub before Sphinx reads the sources."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import lastiterate as li

GROUPS = {
    ".theory.rates": "Rates",
    ".theory.optimal": "Optimal and refined schedules",
    ".theory.certificates": "Certificates",
    ".theory.problems": "Problems",
    ".theory.simulators": "Simulation",
    ".theory.laws": "Laws and forecasts",
    ".experiments.forecast": "Laws and forecasts",
    ".solvers": "Worst cases, design, search",
    ".experiments.logs": "Recorded runs",
    ".experiments": "Workloads, sweeps, reports",
    ".theory.base": "Errors",
}
"""Where a name lives, most special first, to the heading under which it stands."""

SILENT = {"__version__"}  # a text


def homes() -> dict[str, str]:
    """Public names to the modules that the stub takes them from."""
    stub = ast.parse(Path(str(li.__file__)).with_suffix(".pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.asname or alias.name: f".{node.module or ''}" for node in imports for alias in node.names}


def kind_of(thing: Any) -> str:
    """Return the folder of a name's page: names that differ in capitals alone stay apart on every file system."""
    if isinstance(thing, ModuleType):
        return "modules"
    return "classes" if inspect.isclass(thing) else "functions"


def group_of(thing: Any, home: str) -> str:
    """Return the heading under which a name stands."""
    if isinstance(thing, ModuleType):
        return "Namespaces"
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return "Errors"
    return next((title for prefix, title in GROUPS.items() if home.startswith(prefix)), "Other")


def directive(dotted: str, thing: Any) -> str:
    """Return the autodoc directive for one thing."""
    if inspect.isclass(thing):
        members = "" if issubclass(thing, BaseException) else "   :members:\n   :inherited-members: Exception\n"
        return f".. autoclass:: {dotted}\n{members}"
    return f".. autofunction:: {dotted}\n" if callable(thing) else f".. autodata:: {dotted}\n   :no-value:\n"


def members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Names of a namespace with what they are; those of a package of adapters are its modules' names."""
    names = [name for name in getattr(module, "__all__", dir(module)) if name[0] != "_"]
    yield from ((name, getattr(module, name)) for name in names)


def page(name: str, thing: Any) -> str:
    """Return the page of a name as reStructuredText."""
    title = f"lastiterate.{name}"
    text = f"{title}\n{'=' * len(title)}\n\n"
    if not isinstance(thing, ModuleType):
        return text + directive(title, thing)
    text += f".. automodule:: {title}\n\n"
    facade = {id(getattr(li, public)): public for public in li.__all__}
    return text + "\n".join(
        f"* `lastiterate.{facade[id(what)]}`\n" if id(what) in facade else directive(f"{title}.{part}", what)
        for part, what in members(thing)
    )


def pages() -> dict[str, str]:
    """Return the text of every page by its path below ``api/``, the index included."""
    where = homes()
    things = {name: getattr(li, name) for name in li.__all__ if name not in SILENT}
    written = {f"{kind_of(thing)}/{name}": page(name, thing) for name, thing in things.items()}
    text = "API reference\n=============\n\nEvery name of ``import lastiterate as li``; names load on first use.\n"
    for title in ("Namespaces", *dict.fromkeys(GROUPS.values()), "Other"):
        names = [name for name, thing in things.items() if group_of(thing, where[name]) == title]
        if names:
            entries = "".join(f"   {name} <{kind_of(things[name])}/{name}>\n" for name in names)
            text += f"\n{title}\n{'-' * len(title)}\n\n.. toctree::\n   :maxdepth: 1\n\n{entries}"
    return {"index": text, **written}


def write(app: Any) -> None:
    """Write the pages below the sources; a page that is as it was stays, so that Sphinx reads it no second time."""
    folder = Path(app.srcdir) / "api"
    texts = {folder / f"{path}.rst": text for path, text in pages().items()}
    for stale in set(folder.rglob("*.rst")) - set(texts):
        stale.unlink()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != text:
            path.write_text(text)


BARS = re.compile(r"(`+)(?:.(?!\1))*.\1|(?<!\\)\|")


def keep_bars(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Let |x| in a docstring be an absolute value: reStructuredText would look for a substitution of that name."""
    lines[:] = [
        line if line.lstrip().startswith((">>>", "...")) else BARS.sub(lambda m: r"\|" if m[0] == "|" else m[0], line)
        for line in lines
    ]


def link_to_gallery(app: Any, docname: str, source: list[str]) -> None:
    """Let the links of the guides to the folder of scripts lead to the executed pages."""
    source[0] = source[0].replace("](gallery)", "](auto_gallery/index.rst)")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write, priority=100)
    app.connect("source-read", link_to_gallery)
    app.connect("autodoc-process-docstring", keep_bars, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
