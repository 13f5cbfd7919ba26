"""The table of optimizers: all of torch and of the reference packages, GradaGrad, MDA, Lion and DoG."""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from .packaged import Builder, dadapt_adagrad, dadapt_sgd, mechanic, momo, muon, nadam, of_class, own, schedule_free

__all__ = ["NOT_HERE", "OPTIMIZERS", "REFUSED_OPTIONS", "OptimizerInfo"]


@dataclass(frozen=True)
class OptimizerInfo:
    """What a replay has to know about an optimizer.

    Attributes
    ----------
    build : callable
        ``build(params, lr=..., **options)`` returns the torch optimizer.
    rule : str
        The refinement rule that fits it: "sgd" (L2 norms, power -2) or "adam" (L1 norms, power -1).
    base_lr : float
        A reasonable base learning rate: the package's default, 1 for those that estimate it.
    reference : str
        ``module:Class`` that it is, or that it wraps.
    needs_loss : bool
        Whether ``step`` wants the loss of the batch (see `step_arguments`).
    has_modes : bool
        Whether it must be told to train and to evaluate (see `evaluating`).
    options : dict
        Options that differ from the builder's own defaults.
    """

    build: Builder
    rule: Literal["sgd", "adam"]
    base_lr: float
    reference: str
    needs_loss: bool = False
    has_modes: bool = False
    options: dict[str, Any] = field(default_factory=dict[str, Any])


def _row(rule: Literal["sgd", "adam"], base_lr: float, reference: str, build: Builder | None = None, **more: Any):
    return OptimizerInfo(build or of_class(*reference.split(":")), rule, base_lr, reference, **more)


_KEEPS = {"store_delta": True}
_HERE = "lastiterate.experiments.training"

OPTIMIZERS: dict[str, OptimizerInfo] = {
    "sgd": _row("sgd", 0.1, "torch.optim:SGD"),
    "momentum": _row("sgd", 0.1, "torch.optim:SGD", options={"momentum": 0.9}),
    "adam": _row("adam", 1e-3, "torch.optim:Adam"),
    "adamw": _row("adam", 1e-3, "torch.optim:AdamW"),
    "adagrad": _row("adam", 1e-2, "torch.optim:Adagrad"),
    "adadelta": _row("adam", 1.0, "torch.optim:Adadelta"),
    "adafactor": _row("adam", 1e-2, "torch.optim:Adafactor"),
    "adamax": _row("adam", 2e-3, "torch.optim:Adamax"),
    "asgd": _row("sgd", 1e-2, "torch.optim:ASGD"),
    "nadam": _row("adam", 2e-3, "torch.optim:NAdam", nadam),
    "radam": _row("adam", 1e-3, "torch.optim:RAdam"),
    "rmsprop": _row("adam", 1e-2, "torch.optim:RMSprop"),
    "muon": _row("sgd", 2e-2, "torch.optim:Muon", muon),
    "lion": _row("adam", 1e-4, f"{_HERE}.lion:Lion", own("lion", "Lion")),
    "dog": _row("sgd", 1.0, f"{_HERE}.dog:DoG", own("dog", "DoG")),
    "dadapt_sgd": _row("sgd", 1.0, "dadaptation:DAdaptSGD", dadapt_sgd),
    "dadapt_adam": _row("adam", 1.0, "dadaptation:DAdaptAdam"),
    "dadapt_adagrad": _row("adam", 1.0, "dadaptation:DAdaptAdaGrad", dadapt_adagrad),
    "dadapt_adan": _row("adam", 1.0, "dadaptation:DAdaptAdan"),
    "dadapt_lion": _row("adam", 1.0, "dadaptation:DAdaptLion"),
    "prodigy": _row("adam", 1.0, "prodigyopt:Prodigy"),
    "momo": _row("sgd", 1.0, "momo:Momo", momo("Momo"), needs_loss=True),
    "momo_adam": _row("adam", 1e-2, "momo:MomoAdam", momo("MomoAdam"), needs_loss=True),
    "madgrad": _row("adam", 1e-2, "madgrad:MADGRAD"),
    "mirror_madgrad": _row("adam", 1e-2, "madgrad:MirrorMADGRAD"),
    "mechanic_sgd": _row("sgd", 1.0, "torch.optim:SGD", mechanic(torch.optim.SGD), options=_KEEPS),
    "mechanic_adam": _row("adam", 1.0, "torch.optim:Adam", mechanic(torch.optim.Adam), options=_KEEPS),
    "mechanic_adamw": _row("adam", 1.0, "torch.optim:AdamW", mechanic(torch.optim.AdamW), options=_KEEPS),
    "schedule_free_sgd": _row(
        "sgd", 1.0, "schedulefree:SGDScheduleFree", schedule_free("SGDScheduleFree"), has_modes=True
    ),
    "schedule_free_adamw": _row(
        "adam", 2.5e-3, "schedulefree:AdamWScheduleFree", schedule_free("AdamWScheduleFree"), has_modes=True
    ),
    "schedule_free_radam": _row(
        "adam", 2.5e-3, "schedulefree:RAdamScheduleFree", schedule_free("RAdamScheduleFree"), has_modes=True
    ),
    "gradagrad": _row(
        "sgd", 1.0, "lastiterate.experiments.training.gradagrad:GradaGrad", own("gradagrad", "GradaGrad")
    ),
    "mda": _row("sgd", 0.1, "lastiterate.experiments.training.mda:MDA", own("mda", "MDA")),
}
"""Name -> what a replay has to know."""

NOT_HERE: dict[str, str] = {
    "lbfgs": "it evaluates the loss several times a step, and a replay gives one gradient a step",
    "sparse_adam": "it takes sparse gradients only, and no workload has them",
    "rprop": "its steps follow the signs of gradients: the learning rate counts once, so that no schedule acts on it",
    "schedule_free_sgd_closure": "the same method as schedule_free_sgd, with a closure",
    "schedule_free_adamw_closure": "the same method as schedule_free_adamw, with a closure",
    "schedule_free_radam_closure": "the same method as schedule_free_radam, with a closure",
    "schedule_free_sgd_reference": "the same method as schedule_free_sgd, written out for reading",
    "schedule_free_adamw_reference": "the same method as schedule_free_adamw, written out for reading",
    "schedule_free_adamw_paper": "the same method as schedule_free_adamw, without its rewriting of the average",
}
"""Optimizers of torch and of the packages that are refused by name, and why."""

REFUSED_OPTIONS: dict[str, str] = {
    "fused": "kernels of one device: a replay takes the same steps on all of them",
    "capturable": "for CUDA graphs, which a replay does not record",
    "differentiable": "a replay takes no gradient through a step",
    "log_func": "a function cannot be named in a text",
}
"""Options that are refused by name, and why."""
