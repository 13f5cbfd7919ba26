"""One table of optimizers by name: torch's own, the reference packages', GradaGrad and MDA.

A specification is a name with options, in the manner of schedules: ``adamw:weight_decay=0.1,beta1=0.95``.
"""

import contextlib
import io
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from lastiterate.theory.base.specs import parse_spec
from lastiterate.theory.base.validation import InputError, check_choice, check_positive

from .extras import require

__all__ = ["OptimizerInfo", "evaluating", "make_optimizer", "step_arguments"]

Builder = Callable[..., torch.optim.Optimizer]


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
    needs_loss: bool = False
    has_modes: bool = False
    options: dict[str, Any] = field(default_factory=dict[str, Any])


def make_optimizer(spec: str, params: Iterable[Any], base_lr: float | None = None, **options: Any):
    """Build an optimizer from a specification.

    Parameters
    ----------
    spec : str
        A name of `OPTIMIZERS`, with options after a colon: ``"sgd:momentum=0.9,nesterov=true"``. ``beta1`` and
        ``beta2`` set ``betas``.
    params : iterable of torch.nn.Parameter or of dict
        What to optimise.
    base_lr : float, optional
        Base learning rate, positive; a scheduler multiplies it. Default: that of the table.
    **options
        Further options of the optimizer; those in ``spec`` win.

    Returns
    -------
    torch.optim.Optimizer
        The optimizer, in training mode; `state_dict` holds all that a resumed run needs.

    Raises
    ------
    InputError
        If the name or an option is unknown, or a value is out of range.
    MissingExtraError
        If the optimizer's reference package is not installed.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1)
    >>> make_optimizer("sgd:momentum=0.9", model.parameters(), 0.1).defaults["momentum"]
    0.9
    >>> make_optimizer("adam:beta1=0.8", model.parameters()).defaults["betas"]
    (0.8, 0.999)
    >>> make_optimizer("sgd:speed=3", model.parameters())
    Traceback (most recent call last):
    ...
    lastiterate.theory.base.validation.InputError: optimizer options: expected options that sgd knows, got speed=3
    """
    name, given = parse_spec(spec, "optimizer")
    info = OPTIMIZERS[check_choice(name, "optimizer", OPTIMIZERS)]
    options = {**info.options, **options, **given}
    betas = (options.pop("beta1", None), options.pop("beta2", None))
    lr = info.base_lr if base_lr is None else check_positive(base_lr, "base_lr")
    parameters = list(params)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # some packages print; the output belongs to the caller
            if betas != (None, None):
                pairs = zip(betas, (0.9, 0.999), strict=True)
                options["betas"] = tuple(default if given is None else float(given) for given, default in pairs)
            optimizer = info.build(parameters, lr=lr, **options)
    except TypeError as error:
        shown = ", ".join(f"{key}={value}" for key, value in options.items())
        raise InputError("optimizer options", shown, f"options that {name} knows") from error
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("optimizer", spec, f"values that {name} accepts ({error})") from error
    if info.has_modes:
        optimizer.train()  # type: ignore[attr-defined]
    return optimizer


def step_arguments(optimizer: torch.optim.Optimizer, loss: torch.Tensor) -> dict[str, Any]:
    """Return what ``optimizer.step`` wants beside the gradients: the loss for MoMo, nothing for the others.

    With gradient accumulation or several processes pass the mean loss of the joint batch.

    Examples
    --------
    >>> optimizer = make_optimizer("sgd", [torch.nn.Parameter(torch.zeros(1))], 0.1)
    >>> step_arguments(optimizer, torch.tensor(1.0))
    {}
    """
    return {"loss": loss.detach()} if getattr(optimizer, "needs_loss", False) else {}


@contextlib.contextmanager
def evaluating(optimizer: torch.optim.Optimizer) -> Generator[None]:
    """Put the averaged weights in place while evaluating, for optimizers that have two modes.

    Examples
    --------
    >>> optimizer = make_optimizer("sgd", [torch.nn.Parameter(torch.zeros(1))], 0.1)
    >>> with evaluating(optimizer):
    ...     pass
    """
    if not getattr(optimizer, "has_modes", False):
        yield
        return
    optimizer.eval()  # type: ignore[attr-defined]
    try:
        yield
    finally:
        optimizer.train()  # type: ignore[attr-defined]


def _packaged(module: str, attribute: str) -> Builder:
    """A builder of a class of a reference package, which is imported when an optimizer is asked for."""

    def build(params: Any, **options: Any) -> torch.optim.Optimizer:
        package = require(module, "optimizers", purpose=f"the optimizer {attribute}")
        return getattr(package, attribute)(params, **options)

    return build


def _dadapt_sgd(params: Any, **options: Any) -> torch.optim.Optimizer:
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


def _dadapt_adagrad(params: Any, **options: Any) -> torch.optim.Optimizer:
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


def _momo(attribute: str) -> Builder:
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


def _mechanic(base: type[torch.optim.Optimizer]) -> Builder:
    """Mechanic around ``base``; its state, keyed by parameters, is saved by their position."""

    def build(params: Any, **options: Any) -> torch.optim.Optimizer:
        mechanize = require("mechanic_pytorch", "optimizers", purpose="the optimizer Mechanic").mechanize
        own = {key: options.pop(key) for key in ("s_decay", "s_init", "store_delta") if key in options}
        optimizer = mechanize(base, **own)(params, **options)

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


def _schedule_free(attribute: str) -> Builder:
    plain = _packaged("schedulefree", attribute)

    def build(params: Any, **options: Any) -> torch.optim.Optimizer:
        optimizer: Any = plain(params, **options)
        optimizer.has_modes = True
        return optimizer

    return build


def _gradagrad(params: Any, **options: Any) -> torch.optim.Optimizer:
    from .gradagrad import GradaGrad

    return GradaGrad(params, **options)


def _mda(params: Any, **options: Any) -> torch.optim.Optimizer:
    from .mda import MDA

    return MDA(params, **options)


OPTIMIZERS: dict[str, OptimizerInfo] = {
    "sgd": OptimizerInfo(torch.optim.SGD, "sgd", 0.1),
    "momentum": OptimizerInfo(torch.optim.SGD, "sgd", 0.1, options={"momentum": 0.9}),
    "adam": OptimizerInfo(torch.optim.Adam, "adam", 1e-3),
    "adamw": OptimizerInfo(torch.optim.AdamW, "adam", 1e-3),
    "dadapt_sgd": OptimizerInfo(_dadapt_sgd, "sgd", 1.0),
    "dadapt_adam": OptimizerInfo(_packaged("dadaptation", "DAdaptAdam"), "adam", 1.0),
    "dadapt_adagrad": OptimizerInfo(_dadapt_adagrad, "adam", 1.0),
    "prodigy": OptimizerInfo(_packaged("prodigyopt", "Prodigy"), "adam", 1.0),
    "momo": OptimizerInfo(_momo("Momo"), "sgd", 1.0, needs_loss=True),
    "momo_adam": OptimizerInfo(_momo("MomoAdam"), "adam", 1e-2, needs_loss=True),
    "madgrad": OptimizerInfo(_packaged("madgrad", "MADGRAD"), "adam", 1e-2),
    "mirror_madgrad": OptimizerInfo(_packaged("madgrad", "MirrorMADGRAD"), "adam", 1e-2),
    "mechanic_sgd": OptimizerInfo(_mechanic(torch.optim.SGD), "sgd", 1.0, options={"store_delta": True}),
    "mechanic_adam": OptimizerInfo(_mechanic(torch.optim.Adam), "adam", 1.0, options={"store_delta": True}),
    "schedule_free_sgd": OptimizerInfo(_schedule_free("SGDScheduleFree"), "sgd", 1.0, has_modes=True),
    "schedule_free_adamw": OptimizerInfo(_schedule_free("AdamWScheduleFree"), "adam", 2.5e-3, has_modes=True),
    "gradagrad": OptimizerInfo(_gradagrad, "sgd", 1.0),
    "mda": OptimizerInfo(_mda, "sgd", 0.1),
}
