"""The bundled workloads: the protocol, learning, seeds, and what their data really are."""

import dataclasses
import math
from functools import lru_cache

import numpy as np
import pytest
import torch

from lastiterate.experiments.training.optimizers import make_optimizer
from lastiterate.experiments.training.train import TrainingSettings, train
from lastiterate.experiments.workloads._keyed import keyed_dropout, keyed_uniform
from lastiterate.experiments.workloads.protocol import check_workload, known_workloads, load_workload
from lastiterate.theory.base.validation import InputError
from lastiterate.theory.schedules import linear

# workload, base learning rate, fraction of the best constant prediction's loss that a run must get below
FAST = [
    ("seq2seq", 0.01, 0.2),
    ("recommendation", 0.01, 0.75),
    ("logistic_suite:dataset=breast_cancer", 3.0, 0.25),
    ("logistic_suite:dataset=wine", 3.0, 0.15),
    ("linear_regression", 4.0, 0.75),
]
SLOW = [
    ("lstm_language_model", 0.1, 0.75),
    ("residual_net", 0.03, 0.15),
    ("image_folder", 0.03, 0.25),
    ("vision_transformer", 0.01, 0.5),
    ("language_model:scale=small", 0.01, 0.8),
    ("language_model:scale=medium", 0.01, 0.8),
    ("language_model:scale=large", 0.003, 0.8),
    ("masked_language_model", 0.003, 0.9),
    ("mri_reconstruction", 0.003, 0.5),
    ("detector", 0.003, 0.75),
    ("logistic_suite:dataset=vehicle", 10.0, 0.75),
    ("logistic_suite:dataset=letter", 30.0, 0.4),
]
ALL = FAST + SLOW


@lru_cache
def loaded(spec):
    return load_workload(spec)


def constant_loss(workload):
    """Loss of the best prediction that ignores the input: from the frequencies of the answers, or their median."""
    name = workload.name
    if name == "linear_regression":
        return 0.5  # the run starts at the prediction 0
    if "language_model" in name:
        return entropy(workload.train[0].flatten())
    if name == "seq2seq":
        words = workload.train[1]
        ends = 1 + (words != 0).sum(dim=1)  # a sentence is its words and one end, and counts once
        weights = (torch.arange(words.shape[1]) < ends[:, None]) / ends[:, None]
        shares = torch.zeros(int(words.max()) + 1, dtype=torch.float64)
        shares.index_add_(0, words.flatten(), weights.flatten().double())
        return entropy_of(shares / shares.sum())
    if name == "mri_reconstruction":
        images = workload.train[1]
        return float((images - images.median()).abs().mean())
    if name == "detector":
        classes, boxes = workload.train[1], workload.train[2]
        present = (classes < 10).double().mean().item()
        middle = torch.stack([boxes[:, i][classes < 10].median() for i in range(3)])
        box = torch.nn.functional.smooth_l1_loss(
            boxes.movedim(1, -1)[classes < 10], middle.expand(int((classes < 10).sum()), 3), beta=0.1
        )
        kinds = entropy(classes[classes < 10])
        return entropy_of(torch.tensor([present, 1 - present])) + present / 0.25 * (kinds + 3 * float(box))
    if name == "recommendation":
        rate = workload.train[2].double().mean()
        return entropy_of(torch.stack([rate, 1 - rate]))
    if name == "image_folder":
        return entropy(torch.tensor([label for _, label in workload.train]))
    return entropy(workload.train[1])


def entropy(answers):
    return entropy_of(torch.bincount(answers.long()).double() / answers.numel())


def entropy_of(shares):
    return float(torch.special.entr(shares).sum())


def learns(spec, base_lr, fraction):
    workload = check_workload(load_workload(spec))
    result = train(workload, linear(workload.n_steps), base_lr, seed=0)
    held_out = result.final.get("test_loss", result.final["loss"])
    assert max(held_out, result.final["loss"]) < fraction * constant_loss(workload)


@pytest.mark.parametrize(("spec", "base_lr", "fraction"), FAST)
def test_tiny_size_learns_well_beyond_a_constant(spec, base_lr, fraction):
    learns(spec, base_lr, fraction)


@pytest.mark.slow
@pytest.mark.parametrize(("spec", "base_lr", "fraction"), SLOW)
def test_larger_tiny_sizes_learn_well_beyond_a_constant(spec, base_lr, fraction):
    learns(spec, base_lr, fraction)


@pytest.mark.parametrize("spec", [spec for spec, *_ in ALL])
def test_batches_depend_on_seed_and_step_alone(spec):
    one, two = loaded(spec), load_workload(spec)
    torch.manual_seed(0)
    first = one.batch(3, 7)
    torch.manual_seed(1)
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one.batch(0, 0)
    again = two.batch(3, 7)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert not torch.equal(one.batch(4, 7)[0], first[0])
    assert not torch.equal(one.batch(3, 8)[0], first[0])


@pytest.mark.parametrize("spec", [spec for spec, *_ in ALL if "dataset" not in spec])
def test_loss_is_the_mean_over_examples(spec):
    """The mean of the losses of two halves is the loss of the batch, which accumulation and processes rely on."""
    workload = loaded(spec)
    torch.manual_seed(0)
    model = workload.build_model()
    batch = workload.batch(0, 0)
    half = len(batch[0]) // 2
    halves = [tuple(part[:half] for part in batch), tuple(part[half : 2 * half] for part in batch)]
    whole = tuple(part[: 2 * half] for part in batch)
    mean = sum(workload.loss(model, part) for part in halves) / 2
    torch.testing.assert_close(mean, workload.loss(model, whole), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "spec", ["language_model:dropout=0.3", "lstm_language_model:dropout=0.3", "seq2seq:dropout=0.3"]
)
def test_dropout_follows_the_keys_of_the_batch(spec):
    workload = load_workload(spec)
    workload = dataclasses.replace(workload, evaluated=16, test=tuple(column[:16] for column in workload.test))
    torch.manual_seed(0)
    model = workload.build_model()
    batch = workload.batch(0, 0)
    torch.manual_seed(1)
    first = workload.loss(model, batch)
    assert torch.equal(first, workload.loss(model, batch))
    assert not torch.equal(first, workload.loss(model, (*batch[:-1], batch[-1] + 1)))
    reversed_batch = tuple(part.flip(0) for part in batch)
    torch.testing.assert_close(workload.loss(model, reversed_batch), first, rtol=1e-5, atol=0)
    assert workload.evaluate(model) == workload.evaluate(model)
    assert model.training


def test_keyed_dropout_keeps_the_mean_and_the_rate():
    keys = torch.arange(200) * 7919
    values = torch.ones(200, 50, 20)
    dropped = keyed_dropout(values, keys, 3, 0.25)
    assert dropped.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    spread = math.sqrt(0.25 * 0.75 / values.numel())
    assert (dropped == 0).double().mean().item() == pytest.approx(0.25, abs=5 * spread)
    assert keyed_dropout(values, None, 3, 0.25) is values
    assert not torch.equal(dropped, keyed_dropout(values, keys, 4, 0.25))


def test_keyed_uniform_is_uniform_and_uncorrelated():
    draws = keyed_uniform(torch.arange(400), (250,), 0).double()
    counts = torch.histc(draws, bins=20, min=0.0, max=1.0)
    expected = draws.numel() / 20
    assert float(((counts - expected) ** 2 / expected).sum()) < 43.8  # the 99.9% quantile for 19 degrees of freedom
    centred = draws - 0.5
    for other in (centred.roll(1, dims=0), centred.roll(1, dims=1)):
        correlation = float((centred * other).mean() / centred.square().mean())
        assert abs(correlation) < 5 / math.sqrt(draws.numel())


def test_attention_of_the_language_model_is_causal():
    workload = load_workload("language_model")
    torch.manual_seed(0)
    model = workload.build_model()
    tokens = workload.batch(0, 0)[0][:, :-1].long()
    changed = tokens.clone()
    changed[:, 20:] = 65
    logits, others = model(tokens), model(changed)
    torch.testing.assert_close(logits[:, :20], others[:, :20])
    assert not torch.allclose(logits[:, 20:], others[:, 20:])


def test_masked_model_never_sees_what_it_must_fill_in():
    workload = load_workload("masked_language_model")
    torch.manual_seed(0)
    seen = []

    def spy(tokens):
        seen.append(tokens)
        return torch.zeros(*tokens.shape, 256)

    batch = workload.batch(0, 0)
    loss = workload.loss(spy, batch)
    assert ((seen[0] == 256).sum(dim=1) == 5).all()  # 15% of 32 bytes
    torch.testing.assert_close(loss, torch.tensor(math.log(256)))


def test_numbers_in_words_vs_a_written_list():
    from lastiterate.experiments.workloads.seq2seq import in_words

    table = {
        0: "zero", 7: "seven", 13: "thirteen", 20: "twenty", 21: "twenty one", 100: "one hundred",
        105: "one hundred five", 999: "nine hundred ninety nine", 1000: "one thousand", 1010: "one thousand ten",
        40213: "forty thousand two hundred thirteen",
        777777: "seven hundred seventy seven thousand seven hundred seventy seven",
    }  # fmt: skip
    assert {number: " ".join(in_words(number)) for number in table} == table


def test_undersampled_images_vs_numpy_fft():
    workload = load_workload("mri_reconstruction")
    seen, images = (column[:3, 0].double().numpy() for column in workload.train)
    for given, full in zip(seen, images, strict=True):
        spectrum, kept = np.fft.fft2(full), np.fft.fft2(given)
        scale = np.abs(spectrum).max()
        # the real part keeps the mean of a row and its mirror: each is whole, half or gone
        mirrored = np.abs(kept[:, 1:])[np.abs(spectrum[:, 1:]) > 1e-3 * scale]
        ratios = mirrored / np.abs(spectrum[:, 1:])[np.abs(spectrum[:, 1:]) > 1e-3 * scale]
        assert np.abs(ratios[:, None] - np.array([0.0, 0.5, 1.0])).min(axis=1).max() < 2e-3
        assert 0.05 < (ratios > 0.9).mean() < 0.8


def test_linear_regression_vs_exact_recursion():
    """The mean over seeds of the final loss agrees with the recursion within four standard errors."""
    from lastiterate.experiments.training.ensemble import train_ensemble

    workload = load_workload("linear_regression:modes=12")
    steps, base_lr = linear(25), 1.0
    runs = train_ensemble(workload, [(steps, base_lr, seed) for seed in range(400)])
    finals = np.array([run.final["loss"] for run in runs])
    expected = workload.expected_losses(steps, base_lr)
    assert abs(finals.mean() - expected[-1]) < 4 * finals.std() / math.sqrt(len(finals))
    assert finals.std() / math.sqrt(len(finals)) < 0.02 * expected[-1]
    first = np.array([run.losses[0] for run in runs])
    np.testing.assert_allclose(first, expected[0], rtol=1e-5)


def test_detection_loss_vs_losses_of_maps():
    """Presence, class and box by torch's losses of maps and by loops over the cells that hold a digit."""
    workload = loaded("detector")
    torch.manual_seed(0)
    model, (scenes, classes, boxes) = workload.build_model(), workload.batch(0, 0)
    with torch.no_grad():
        out = model(scenes)
        found = float(workload.loss(model, (scenes, classes, boxes)))
    presence = torch.nn.functional.binary_cross_entropy_with_logits(out[:, 0], (classes < 10).float())
    kinds = torch.nn.functional.cross_entropy(out[:, 1:11], classes.where(classes < 10, -100), reduction="sum")
    box = sum(
        torch.nn.functional.smooth_l1_loss(out[i, 11:, r, c], boxes[i, :, r, c], beta=0.1, reduction="sum")
        for i, r, c in (classes < 10).nonzero().tolist()
    )
    assert found == pytest.approx(float(presence + (kinds + box) / classes.numel() / 0.25), rel=1e-5)


def test_optimizer_and_grid_of_every_workload_are_valid():
    for spec, *_ in ALL:
        workload = loaded(spec)
        for base_lr in workload.base_lrs:
            make_optimizer(workload.optimizer, [torch.nn.Parameter(torch.zeros(2))], base_lr)
        assert list(workload.base_lrs) == sorted(workload.base_lrs)
        assert isinstance(workload.source, str)


@pytest.mark.parametrize(
    ("spec", "argument"),
    [
        ("language_model:scale=huge", "scale"),
        ("language_model:dropout=1.5", "dropout"),
        ("logistic_suite:dataset=diabetes", "dataset"),
        ("logistic_suite:dataset=nothing", "name"),
        ("vision_transformer:patch=3", "patch"),
        ("vision_transformer:patch=0", "patch"),
        ("residual_net:width=2", "width"),
        ("masked_language_model:masked=0", "masked"),
        ("linear_regression:modes=1", "modes"),
    ],
)
def test_bad_options(spec, argument):
    with pytest.raises(InputError) as caught:
        load_workload(spec)
    assert caught.value.argument == argument


@pytest.mark.slow
@pytest.mark.parametrize("name", known_workloads())
def test_mixed_precision_and_accumulation_stay_near_single_precision(name):
    workload = load_workload(name)
    plain, *others = (
        train(workload, linear(3), workload.base_lrs[0], 0, settings=settings)
        for settings in (TrainingSettings(), TrainingSettings(precision="bf16"), TrainingSettings(accumulate=2))
    )
    for other, tolerance in zip(others, (2e-2, 1e-4), strict=True):
        assert other.final["loss"] == pytest.approx(plain.final["loss"], rel=tolerance)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "spec",
    ["detector", "mri_reconstruction", "recommendation", "seq2seq", "language_model:scale=large",
     "lstm_language_model", "masked_language_model"],
)  # fmt: skip
def test_full_sizes_train_on_a_gpu(spec):
    workload = load_workload(spec, size="full")
    settings = TrainingSettings(device="cuda", precision="bf16")
    result = train(workload, np.ones(20), workload.base_lrs[1], 0, settings=settings)
    assert result.losses[-5:].mean() < result.losses[:5].mean()
