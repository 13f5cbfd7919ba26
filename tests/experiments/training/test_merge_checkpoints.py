"""Averages of checkpoint files."""

import numpy as np
import pytest
import torch
from torch import nn

from lastiterate.experiments.training.merge import average_checkpoints
from lastiterate.theory.base.validation import InputError


def model(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def saved(folder, count=3):
    models = [model(seed) for seed in range(count)]
    for k, each in enumerate(models):
        each[1].num_batches_tracked.fill_(10 * k)
        torch.save(each.state_dict(), folder / f"{k}.pt")
    return models, [folder / f"{k}.pt" for k in range(count)]


def test_average_vs_torch_swa(tmp_path):
    models, paths = saved(tmp_path)
    averaged = torch.optim.swa_utils.AveragedModel(models[0])
    for each in models:
        averaged.update_parameters(each)
    fused = average_checkpoints(paths)
    for name, value in averaged.module.named_parameters():
        torch.testing.assert_close(fused[name], value.detach())


def test_given_weights_and_counters_of_the_last(tmp_path):
    models, paths = saved(tmp_path)
    fused = average_checkpoints(paths, [0.5, 0.3, 0.2])
    expected = sum(w * each[0].weight.detach().double() for w, each in zip([0.5, 0.3, 0.2], models, strict=True))
    np.testing.assert_allclose(fused["0.weight"].double().numpy(), expected.numpy(), rtol=1e-6)
    assert fused["1.num_batches_tracked"] == 20
    model(7).load_state_dict(fused)


def test_half_precision_keeps_its_type_and_is_summed_wide(tmp_path):
    values = [1.0, 1.0009765625, 1.001953125]
    for k, value in enumerate(values):
        torch.save(
            {"model": {"w": torch.full((4,), value, dtype=torch.float16)}, "losses": [0.5, k]}, tmp_path / f"{k}"
        )
    fused = average_checkpoints([tmp_path / str(k) for k in range(3)])
    assert fused["model"]["w"].dtype == torch.float16
    assert fused["model"]["w"][0].item() == values[1]
    assert fused["losses"] == [0.5, 2]


def test_weight_on_one_file_is_that_file(tmp_path):
    models, paths = saved(tmp_path)
    fused = average_checkpoints(paths, [0.0, 1.0, 0.0])
    torch.testing.assert_close(fused["2.weight"], models[1][2].weight.detach(), rtol=0.0, atol=0.0)


@pytest.mark.parametrize("weights", [[0.5, 0.5], [0.5, 0.6, -0.1], [0.5, 0.4, 0.05], [0.5, np.nan, 0.5]])
def test_weights_that_do_not_fit(tmp_path, weights):
    _, paths = saved(tmp_path)
    with pytest.raises(InputError) as caught:
        average_checkpoints(paths, weights)
    assert caught.value.argument == "weights"


class Payload:
    def __reduce__(self):
        return (print, ("code ran",))


def test_files_that_are_no_checkpoints(tmp_path, capsys):
    _, paths = saved(tmp_path)
    (tmp_path / "text.pt").write_text("not a checkpoint")
    torch.save({"w": Payload()}, tmp_path / "code.pt")
    torch.save(model(0)[0].state_dict(), tmp_path / "other.pt")
    torch.save({**model(0).state_dict(), "0.weight": torch.zeros(1)}, tmp_path / "shape.pt")
    for bad in ("text.pt", "code.pt", "other.pt", "shape.pt"):
        with pytest.raises(InputError) as caught:
            average_checkpoints([paths[0], tmp_path / bad])
        assert bad in str(caught.value)
    assert "code ran" not in capsys.readouterr().out
    with pytest.raises(FileNotFoundError):
        average_checkpoints([tmp_path / "missing.pt"])
    with pytest.raises(InputError):
        average_checkpoints([])
