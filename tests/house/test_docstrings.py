"""Every public name says what goes in and comes out, what is raised, where it comes from, and shows it."""

import inspect
import re

import pytest
from numpydoc.docscrape import get_doc_object

import lastiterate as li

NAMESPACES = ("schedules", "problems", "step_matrix", "momentum", "dual_averaging")
SIZED = re.compile(r"shape|float64\[|\bint64\[")


def public():
    """Facade names and those of its namespaces, by dotted name; pictures and modules apart."""
    for name in li.__all__:
        thing = getattr(li, name)
        if inspect.isfunction(thing) or (inspect.isclass(thing) and not issubclass(thing, BaseException)):
            yield name, thing
        elif name in NAMESPACES:
            yield from (
                (f"{name}.{part}", getattr(thing, part)) for part in thing.__all__ if callable(getattr(thing, part))
            )


PUBLIC = dict(public())


def lacks(name: str) -> set[str]:
    """What the docstring of a public name lacks, as words."""
    thing = PUBLIC[name]
    doc = get_doc_object(thing)
    missing = set()
    if not "".join(doc["Summary"]).strip():
        missing.add("summary")
    if inspect.isclass(thing):
        fields = [field for field in getattr(thing, "__dataclass_fields__", {}) if not field.startswith("_")]
        described = {part.strip() for item in [*doc["Attributes"], *doc["Parameters"]] for part in item.name.split(",")}
        if fields and not set(fields) <= described:
            missing.add("attributes")
        return missing
    parameters = [
        p.name for p in inspect.signature(thing).parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    described = {part.strip() for item in doc["Parameters"] for part in item.name.split(",")}
    if not set(parameters) <= described:
        missing.add("parameters")
    if any("array" in item.type and not SIZED.search(item.type) for item in doc["Parameters"]):
        missing.add("shapes")
    if inspect.signature(thing).return_annotation is not None and not doc["Returns"] and not doc["Yields"]:
        missing.add("returns")
    if not doc["Raises"]:
        missing.add("raises")
    if not doc["Examples"] and ">>>" not in (thing.__doc__ or ""):
        missing.add("example")
    return missing


@pytest.mark.parametrize("name", PUBLIC)
def test_docstring_is_complete(name):
    assert not lacks(name)
