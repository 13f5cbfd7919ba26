"""Optimizers by name: building one from a text, and what a training loop owes it.

A specification is a name with options, in the manner of schedules: ``adamw:weight_decay=0.1,beta1=0.95``; or a class of
the user's own, ``package.module:Class:option=value``.
"""

import contextlib
import inspect
import io
import re
from collections.abc import Generator, Iterable
from importlib import import_module
from typing import Any

import torch

from lastiterate.theory.base.specs import parse_spec, value_of
from lastiterate.theory.base.validation import InputError, check_positive

from .optimizer_table import NOT_HERE, OPTIMIZERS, REFUSED_OPTIONS, OptimizerInfo

__all__ = ["OPTIMIZERS", "OptimizerInfo", "evaluating", "make_optimizer", "optimizer_info", "step_arguments"]

OF_THE_USER = re.compile(r"([A-Za-z_]\w*(?:\.\w+)*):([A-Za-z_]\w*)(?::(.*))?")


def optimizer_info(spec: str) -> tuple[str, OptimizerInfo, dict[str, Any]]:
    """Return the name, what the table knows of it, and the options of a specification.

    ``module:Class`` names a class of the user's own, whose module is imported as Python does; nothing else is run. It
    is taken to be a method for the "adam" rule at the base learning rate of its own default.

    Raises
    ------
    InputError
        For an optimizer that is unknown, or known and not here; the message says why.

    Examples
    --------
    >>> name, info, options = optimizer_info("sgd:momentum=0.9")
    >>> name, info.reference, options
    ('sgd', 'torch.optim:SGD', {'momentum': 0.9})
    >>> optimizer_info("torch.optim:RMSprop:alpha=0.9")[1].base_lr
    0.01
    """
    own = OF_THE_USER.fullmatch(spec.strip()) if isinstance(spec, str) else None  # pyright: ignore[reportUnnecessaryIsInstance]
    if own is not None and own[1].replace("-", "_") not in OPTIMIZERS:
        return _of_the_user(own[1], own[2], own[3] or "")
    name, options = parse_spec(spec, "optimizer")
    if name in NOT_HERE:
        raise InputError("optimizer", name, f"another one: {NOT_HERE[name]}")
    if name not in OPTIMIZERS:
        expected = f"one of {', '.join(OPTIMIZERS)}, or module:Class"
        raise InputError("optimizer", name, expected)
    return name, OPTIMIZERS[name], options


def _of_the_user(module: str, attribute: str, options: str) -> tuple[str, OptimizerInfo, dict[str, Any]]:
    try:
        found = getattr(import_module(module), attribute, None)
    except ImportError as error:
        raise InputError("optimizer", f"{module}:{attribute} ({error})", "a module that imports") from error
    if not (inspect.isclass(found) and issubclass(found, torch.optim.Optimizer)):
        raise InputError("optimizer", f"{module}:{attribute}", "a class derived from torch.optim.Optimizer")
    default = inspect.signature(found).parameters.get("lr")
    lr = default.default if default is not None and isinstance(default.default, int | float) else 1e-3
    info = OptimizerInfo(found, "adam", float(lr), f"{module}:{attribute}")
    return f"{module}:{attribute}", info, parse_spec(f"x:{options}", "optimizer")[1]


def make_optimizer(spec: str, params: Iterable[Any], base_lr: float | None = None, **options: Any):
    """Build an optimizer from a specification.

    Parameters
    ----------
    spec : str
        A name of `OPTIMIZERS`, with options after a colon: ``"sgd:momentum=0.9,nesterov=true"``; or ``module:Class``
        with options after another one. ``beta1`` and ``beta2`` set ``betas``; several values are written with slashes,
        ``etas=0.5/1.2``.
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
    name, info, given = optimizer_info(spec)
    options = {key: _as_tuple(value) for key, value in {**info.options, **options, **given}.items()}
    for key, why in REFUSED_OPTIONS.items():
        if options.get(key):
            raise InputError("optimizer options", f"{key}={options[key]}", f"no {key}: {why}")
        options.pop(key, None)
    betas = (options.pop("beta1", None), options.pop("beta2", None))
    lr = info.base_lr if base_lr is None else check_positive(base_lr, "base_lr")
    parameters = list(params)
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # some packages print; the output belongs to the caller
            if betas != (None, None):
                pairs = zip(betas, _default_betas(info), strict=False)
                first = tuple(default if given is None else float(given) for given, default in pairs)
                options["betas"] = (*first, *_default_betas(info)[2:])
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


def _as_tuple(value: Any) -> Any:
    """Several values in a text, such as ``0.9/0.99`` or ``none/0.001``, as torch wants them."""
    if isinstance(value, str) and "/" in value:
        value = [value_of(part) for part in value.split("/")]
    return tuple(value) if isinstance(value, list) else value


def _default_betas(info: OptimizerInfo) -> tuple[float, ...]:
    module, _, attribute = info.reference.partition(":")
    with contextlib.suppress(ImportError, TypeError, ValueError):
        default = inspect.signature(getattr(import_module(module), attribute)).parameters["betas"].default
        return tuple(default)
    return (0.9, 0.999)


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
