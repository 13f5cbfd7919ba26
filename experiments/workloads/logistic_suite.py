"""Multinomial logistic regression on a suite of real sets: ``logistic_suite:dataset=wine``; convex.

Features are scaled to [-1, 1] with a column of ones beside them; every fifth of a class is held out. Four sets are
scikit-learn's; the others come with the extra ``data``.
"""

from functools import partial

import numpy as np
import torch
from torch import nn

from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.data import dataset as load_dataset

from ._classify import accuracy, classification_loss
from ._examples import Examples
from ._shapes import Column, Data, Shapes

__all__ = ["batch_shapes", "create"]

SUITE = ("iris", "wine", "breast_cancer", "digits", "vehicle", "vowel", "segment", "satimage", "penbased", "letter")


def create(size: str = "tiny", data: Data = None, dataset: str = "breast_cancer") -> Examples:
    """Return the workload on one set of `SUITE`, or on any other set of classes that the toolkit reads by name."""
    del data
    table = load_dataset(dataset)
    if len(table.classes) < 2:
        raise InputError("dataset", dataset, f"a set with classes, for instance one of {', '.join(SUITE)}")
    features, labels = table.features.astype(np.float32), table.targets.astype(np.int64)
    train, test = ((torch.from_numpy(features[rows]), torch.from_numpy(labels[rows])) for rows in _split(table.targets))
    return Examples(
        name=f"logistic_{dataset.removeprefix('keel:')}",
        n_steps=400 if size == "tiny" else 20_000,
        optimizer="sgd",
        base_lrs=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0),
        metric="loss",
        higher_is_better=False,
        batch_size=16,
        train=train,
        test=test,
        make_model=partial(_at_zero, features.shape[1], len(table.classes)),
        objective=classification_loss,
        scores=accuracy,
        evaluated=None,
        source=f"{dataset}: {table.source}",
    )


def batch_shapes(size: str = "tiny", dataset: str = "breast_cancer", **_: object) -> Shapes:
    """Return shape and type of each column of a batch; the set, which is small, is read for them."""
    del size
    table = load_dataset(dataset)
    return Column((16, table.features.shape[1])), Column((16,), "int64", below=len(table.classes))


def _split(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and testing: of each class in random order, every fifth is held out."""
    order = np.random.default_rng(0).permutation(len(targets))
    place = np.empty(len(targets), dtype=np.int64)
    for label in np.unique(targets):
        rows = order[targets[order] == label]
        place[rows] = np.arange(len(rows))
    return order[place[order] % 5 != 4], order[place[order] % 5 == 4]


def _at_zero(n_features: int, n_classes: int) -> nn.Module:
    """Start at zero, as convex analysis does; the column of ones is the intercept."""
    model = nn.Linear(n_features, n_classes, bias=False)
    nn.init.zeros_(model.weight)
    return model
