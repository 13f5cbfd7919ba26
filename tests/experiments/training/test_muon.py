"""Muon with an auxiliary optimizer: the two optimizers side by side, one state, one schedule."""

import copy
import io

import pytest
import torch

import lastiterate as li
from lastiterate.experiments.training.optimizers import make_optimizer
from lastiterate.theory.base.validation import InputError

SPEC = "muon:momentum=0.8,weight_decay=0.2,aux=adamw,aux_lr=0.003,aux_betas=0.7/0.93,aux_weight_decay=0.3"


def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(6, 5), torch.nn.LayerNorm(5), torch.nn.Tanh(), torch.nn.Unflatten(1, (1, 5)),
        torch.nn.Conv1d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(6, 3),
    ).double()  # fmt: skip


def train(model, optimizers, steps):
    """A run whose data and decaying rates depend on the step alone."""
    for k in steps:
        rng = torch.Generator().manual_seed(k)
        x = torch.randn(8, 6, generator=rng, dtype=torch.float64)
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(x), x[:, :3].argmax(1)).backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group.setdefault("initial_lr", group["lr"]) * (1.0 - k / 40)
            optimizer.step()
    return torch.cat([p.detach().ravel() for p in model.parameters()])


def test_both_parts_are_the_optimizers_of_torch():
    apart, together = network(), network()
    matrices = [p for p in apart.parameters() if p.ndim == 2]
    rest = [p for p in apart.parameters() if p.ndim != 2]
    two = [
        torch.optim.Muon(matrices, lr=0.05, momentum=0.8, weight_decay=0.2),
        torch.optim.AdamW(rest, lr=0.003, betas=(0.7, 0.93), weight_decay=0.3),
    ]
    one = make_optimizer(SPEC, together.parameters(), 0.05)
    start = torch.cat([p.detach().ravel() for p in together.parameters()])
    expected, found = train(apart, two, range(30)), train(together, [one], range(30))
    assert torch.equal(expected, found)
    assert (found != start).all()


@pytest.mark.parametrize("way", ["state", "deepcopy"])
def test_a_run_goes_on_from_a_saved_state_or_a_copy(way):
    straight, model = network(), network()
    expected = train(straight, [make_optimizer(SPEC, straight.parameters(), 0.05)], range(25))
    optimizer = make_optimizer(SPEC, model.parameters(), 0.05)
    train(model, [optimizer], range(11))
    if way == "state":
        file = io.BytesIO()
        torch.save(optimizer.state_dict(), file)
        file.seek(0)
        again = make_optimizer(SPEC, model.parameters(), 0.05)
        again.load_state_dict(torch.load(file, weights_only=True))
    else:
        model, again = copy.deepcopy((model, optimizer))
    assert torch.equal(train(model, [again], range(11, 25)), expected)


def test_a_group_may_belong_to_the_other_optimizer_as_a_whole():
    embedding, linear = torch.nn.Embedding(7, 4), torch.nn.Linear(4, 4)
    groups = [
        {"params": list(linear.named_parameters()), "lr": 0.1, "aux_lr": 0.2, "aux_eps": 1e-5},
        {"params": list(embedding.named_parameters()), "aux": True, "lr": 0.3, "weight_decay": 0.0},
    ]
    optimizer = make_optimizer("muon:aux=adam,adjust_lr_fn=match_rms_adamw", groups, 0.7)
    found = [(group["part"], group["lr"], tuple(group["params"][0].shape)) for group in optimizer.param_groups]
    assert found == [("muon", 0.1, (4, 4)), ("aux", 0.2, (4,)), ("aux", 0.3, (7, 4))]
    assert optimizer.param_groups[1]["eps"] == 1e-5
    assert not {"momentum", "ns_steps"} & set(optimizer.param_groups[2])


def test_rates_of_the_other_optimizer():
    pair = [torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2))]
    rates = {
        spec: make_optimizer(spec, pair, 0.5).param_groups[1]["lr"]
        for spec in ("muon:aux=adamw", "muon:aux=sgd", "muon:aux=adamw,adjust_lr_fn=match_rms_adamw")
    }
    assert list(rates.values()) == [1e-3, 0.1, 0.5]
    only = make_optimizer("muon:aux=adamw", pair[1:], 0.5)
    assert [group["part"] for group in only.param_groups] == ["aux"]
    with pytest.raises(InputError, match=r"^aux: expected one of adamw, adam, sgd, got"):
        make_optimizer("muon:aux=lion", pair)
    with pytest.raises(InputError, match=r"^optimizer options: .*muon knows"):
        make_optimizer("muon:aux=adamw,aux_speed=2", pair)
    with pytest.raises(InputError, match="muon:aux=adamw gives the others to AdamW"):
        make_optimizer("muon", pair)


@pytest.mark.slow
def test_a_replay_of_a_network_with_biases():
    found = li.replay(
        "digits_mlp", ["linear"], optimizer="muon:aux=adamw", n_steps=30, base_lrs=[0.02], n_seeds=1, n_tuning_seeds=1
    )
    assert "linear" in repr(found.table())
