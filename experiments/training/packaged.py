"""Optimizers of the reference packages, wrapped where a replay needs what their classes lack.

A builder imports its package when an optimizer is asked for.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch

from lastiterate.theory.base.validation import InputError

from .extras import require
from .muon import MuonWithAuxiliary

__all__ = [
    "Builder",
    "dadapt_adagrad",
    "dadapt_sgd",
    "mechanic",
    "momo",
    "muon",
    "nadam",
    "of_class",
    "own",
    "schedule_free",
]

Builder = Callable[..., torch.optim.Optimizer]


def of_class(module: str, attribute: str) -> Builder:
    """A builder of a class of torch or of a reference package."""

    def build(params: Any, **options: Any) -> torch.optim.Optimizer:
        package = require(module, "optimizers", purpose=f"the optimizer {attribute}")
        if not hasattr(package, attribute):
            raise InputError("optimizer", attribute, f"a {module} that has it; the one installed is older")
        return getattr(package, attribute)(params, **options)

    return build


def own(module: str, attribute: str) -> Builder:
    """A builder of a class of this package."""

    def build(params: Any, **options: Any) -> torch.optim.Optimizer:
        return getattr(import_module(f"lastiterate.experiments.training.{module}"), attribute)(params, **options)

    return build


def muon(params: Any, *, aux: str | None = None, **options: Any) -> torch.optim.Optimizer:
    """Torch's Muon, which takes matrices only; with ``aux`` another optimizer takes the rest."""
    if aux is not None:
        return MuonWithAuxiliary(params, aux=aux, **options)
    listed = list(params)
    for entry in listed:
        for p in entry["params"] if isinstance(entry, dict) else [entry]:
            if p.ndim != 2:
                shape = f"a parameter of shape {tuple(p.shape)}"
                raise InputError("params", shape, "matrices alone for muon; muon:aux=adamw gives the others to AdamW")
    return of_class("torch.optim", "Muon")(listed, **options)


def nadam(params: Any, **options: Any) -> torch.optim.Optimizer:
    """Torch's NAdam, whose running product keeps its precision when a state is loaded."""
    optimizer = of_class("torch.optim", "NAdam")(params, **options)

    def load(this: Any) -> None:
        for state in this.state.values():
            if "mu_product" in state:
                state["mu_product"] = state["mu_product"].to(torch.get_default_dtype())

    optimizer.register_load_state_dict_post_hook(load)
    return optimizer


def dadapt_sgd(params: Any, **options: Any) -> torch.optim.Optimizer:
    """D-Adapted SGD for which steps of zero length are legal; its package divides by the first gradient's norm."""
    base = require("dadaptation", "optimizers", purpose="the optimizer DAdaptSGD").DAdaptSGD

    class DAdaptSGD(base):
        def step(self, closure: Any = None) -> Any:
            if closure is None and self._is_idle():
                return None
            return super().step(closure)

        def _is_idle(self) -> bool:
            if all(group["lr"] == 0.0 for group in self.param_groups):
                return True
            parameters = [p for group in self.param_groups for p in group["params"]]
            started = self.param_groups[0]["k"] > 0
            return not started and not any(p.grad is not None and bool(p.grad.any()) for p in parameters)

    return DAdaptSGD(params, **options)


def dadapt_adagrad(params: Any, **options: Any) -> torch.optim.Optimizer:
    """D-Adapted AdaGrad that trains the groups whose rate is not zero; its package looks at the first group only."""
    base = require("dadaptation", "optimizers", purpose="the optimizer DAdaptAdaGrad").DAdaptAdaGrad
    shared = ("d", "k", "gsq_weighted", "sksq_weighted", "skl1")

    class DAdaptAdaGrad(base):
        def step(self, closure: Any = None) -> Any:
            groups = self.param_groups
            active = [group for group in groups if group["lr"] != 0.0]
            rates = {float(group["lr"]) for group in active}
            if len(rates) > 1:
                raise InputError(
                    "lr", sorted(rates), "one learning rate for all parameter groups, or zero to freeze one"
                )
            if not active:
                return closure() if closure is not None else None
            try:
                self.param_groups = active
                return super().step(closure)
            finally:
                self.param_groups = groups
                for group in groups:
                    group.update({key: active[0][key] for key in shared})

    return DAdaptAdaGrad(params, **options)


def momo(attribute: str) -> Builder:
    """MoMo, with the numbers it keeps outside of its state in `state_dict`."""
    kept = ("_number_steps", "loss_avg", "lb")

    def build(params: Any, **options: Any) -> torch.optim.Optimizer:
        package = require("momo", "optimizers", purpose=f"the optimizer {attribute}")
        optimizer = getattr(package, attribute)(params, **options)
        optimizer.needs_loss = True

        def save(this: Any, state: dict[str, Any]) -> None:
            state["averages"] = {name: getattr(this, name) for name in kept if hasattr(this, name)}

        def load(this: Any, state: dict[str, Any]) -> None:
            for name, value in state["averages"].items():
                setattr(this, name, value)

        optimizer.register_state_dict_post_hook(save)
        optimizer.register_load_state_dict_pre_hook(load)
        return optimizer

    return build


def mechanic(base: type[torch.optim.Optimizer]) -> Builder:
    """Mechanic around ``base``; its state, keyed by parameters, is saved by their position."""

    def build(params: Any, **options: Any) -> torch.optim.Optimizer:
        mechanize = require("mechanic_pytorch", "optimizers", purpose="the optimizer Mechanic").mechanize
        named = {"mechanic_betas": "betas", "mechanic_eps": "eps"}  # the base has options of these names too
        given = {key: options.pop(key) for key in ("s_decay", "s_init", "store_delta", "log_every") if key in options}
        given |= {there: options.pop(here) for here, there in named.items() if here in options}
        optimizer = mechanize(base, **given)(params, **options)

        def parameters(this: Any) -> list[torch.Tensor]:
            return [p for group in this.param_groups for p in group["params"]]

        def save(this: Any, state: dict[str, Any]) -> None:
            tuner = state["state"].get("_mechanic")
            if tuner is not None:
                named = {index: tuner[p] for index, p in enumerate(parameters(this))}
                rest = {key: value for key, value in tuner.items() if not isinstance(key, torch.Tensor)}
                state["state"] = {**state["state"], "_mechanic": {**rest, "by_position": named}}

        def load(this: Any) -> None:
            tuner = this.state.get("_mechanic")
            if tuner is not None:
                named = tuner["by_position"]
                rest = {key: value for key, value in tuner.items() if key != "by_position"}
                moved = {p: named[index] for index, p in enumerate(parameters(this))}
                this.state["_mechanic"] = {**rest, **moved}

        optimizer.register_state_dict_post_hook(save)
        optimizer.register_load_state_dict_post_hook(load)
        return optimizer

    return build


def schedule_free(attribute: str) -> Builder:
    """Schedule-Free, which trains and evaluates at two different points."""
    plain = of_class("schedulefree", attribute)

    def build(params: Any, **options: Any) -> torch.optim.Optimizer:
        optimizer: Any = plain(params, **options)
        optimizer.has_modes = True
        return optimizer

    return build
