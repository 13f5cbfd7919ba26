"""Files that this program writes and reads again, damaged: right content, or a typed error, and no other traceback."""

import json
import sqlite3
import warnings

import numpy as np
import pytest
import torch

import lastiterate as li
from lastiterate.experiments.replay.files import load as load_replay
from lastiterate.experiments.sweep.specs import RunSpec, read_sweep
from lastiterate.experiments.sweep.store import Store, StoreError
from lastiterate.experiments.training.recorder import GradNormRecorder
from lastiterate.paper_figures.machinery.cache import Cache
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.problems.files import read_function, write_function


def replayed(folder):
    li.replay(
        "digits_logistic", [], n_steps=10, base_lrs=[1.0], n_seeds=1, n_tuning_seeds=1, extensions=0, n_jobs=1
    ).save(folder / "r.json")
    return folder / "r.json", load_replay


def toml(folder):
    text = '[[grid]]\ntarget = "problem:absolute"\nbase_lr = {start = 0.1, stop = 1, num = 3}\nseed = [0, 1]\n[[run]]\n'
    (folder / "s.toml").write_text(text + 'target = "problem:absolute"\n')
    return folder / "s.toml", read_sweep


def norms(folder):
    recorder = GradNormRecorder(torch.nn.Linear(2, 1))
    for _ in range(20):
        recorder()
    recorder.save(folder / "norms.csv")
    return folder / "norms.csv", lambda path: GradNormRecorder(torch.nn.Linear(2, 1)).resume(path, 100)


def function(folder):
    problem = li.problems.max_affine(np.vstack([np.eye(3), -np.eye(3)]), np.zeros(6), x0=np.ones(3))
    return write_function(problem, folder / "f.npz"), read_function


def figure_cache(folder):
    Cache(folder).get("squares", lambda: {"x": [0, 1, 4]})
    return folder / "squares.json", lambda path: Cache(path.parent).get("squares", lambda: {"x": [0, 1, 4]})


def store(folder):
    with Store(folder / "runs.db") as opened:
        opened.add([RunSpec("problem:absolute", seed=seed) for seed in range(5)], "1")
    for ending in ("-wal", "-shm"):
        (folder / f"runs.db{ending}").unlink(missing_ok=True)

    def read(path):
        for ending in ("-wal", "-shm"):
            path.with_name(f"{path.name}{ending}").unlink(missing_ok=True)
        with Store(path) as opened:
            return opened.records(), opened.progress()

    return folder / "runs.db", read


@pytest.mark.parametrize("make", [replayed, toml, norms, function, figure_cache, store], ids=lambda make: make.__name__)
@pytest.mark.parametrize("n_mutations", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_damage_is_a_typed_error(make, n_mutations, tmp_path):
    file, read = make(tmp_path)
    content, rng = file.read_bytes(), np.random.default_rng(0)
    read(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n_mutations):
            data = bytearray(content)
            at = int(rng.integers(len(data)))
            kind = int(rng.integers(4))
            if kind == 0:
                data[at] ^= 1 << int(rng.integers(8))
            elif kind == 1:
                del data[at:]
            elif kind == 2:
                data[at : at + 8] = rng.bytes(8)
            else:
                data = bytearray(rng.bytes(int(rng.integers(0, 500))))
            file.write_bytes(bytes(data))
            try:
                read(file)
            except (InputError, StoreError):
                continue


def leaves(document, path=()):
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from leaves(value, (*path, key))


def test_a_replay_with_any_field_replaced_is_read_or_refused(tmp_path):
    file, read = replayed(tmp_path)
    text, rng = file.read_text(), np.random.default_rng(0)
    paths = list(leaves(json.loads(text)))
    for number in rng.permutation(len(paths))[:150]:
        for odd in (None, "x", -1, [], {}, 10**400, True):
            document = json.loads(text)
            *parents, last = paths[number]
            place = document
            for key in parents:
                place = place[key]
            place[last] = odd
            file.write_text(json.dumps(document))
            try:
                read(file)
            except InputError:
                continue


def test_sqlite_is_as_it_is_asked_to_be(tmp_path):
    file, read = store(tmp_path)
    read(file)
    with sqlite3.connect(file) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
