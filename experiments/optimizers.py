"""Old name of `lastiterate.experiments.training.optimizers`, kept for one release."""

from lastiterate.theory.base.deprecation import moved

__getattr__ = moved(
    __name__,
    {
        "make_optimizer": "lastiterate.experiments.training.optimizers",
        "OPTIMIZERS": "lastiterate.experiments.training.optimizers",
        "OptimizerInfo": "lastiterate.experiments.training.optimizers",
        "step_arguments": "lastiterate.experiments.training.optimizers",
        "evaluating": "lastiterate.experiments.training.optimizers",
    },
)
