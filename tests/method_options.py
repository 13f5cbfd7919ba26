"""Which option of its reference each simulated method has: one row a method, read by a test and printed in the docs.

``python tests/method_options.py`` prints the table of docs/method_options.md.
"""

import inspect
from dataclasses import dataclass, field
from importlib import import_module

from lastiterate.theory.simulators.methods.table import METHODS
from lastiterate.theory.simulators.options import REFUSED


@dataclass(frozen=True)
class Reference:
    """A package's class or function by its dotted name, or a paper; what its options are called here; named gaps."""

    of: str
    here: dict[str, str] = field(default_factory=dict)
    gaps: dict[str, str] = field(default_factory=dict)

    @property
    def packaged(self) -> bool:
        return not self.of.startswith("arXiv")

    def parameters(self) -> list[str]:
        if not self.packaged:
            return []
        module, _, name = self.of.rpartition(".")
        return list(inspect.signature(getattr(import_module(module), name)).parameters)


BETAS = {"betas": "beta1, beta2"}
ADAM = {**BETAS, "decoupled_weight_decay": "decouple"}
DADAPT = {**BETAS, "use_bias_correction": "bias_correction"}
MECHANIC = Reference("mechanic_pytorch.mechanize", {"Base": "the method's name", "betas": "mechanic_betas"})
MADGRAD = {"decouple_decay": "decouple"}
MOMO = {"lb": "lower_bound", "use_fstar": "estimate"}
ALWAYS = {"params", "lr", "learning_rate", "log_every", "log_func"}  # problem, base_lr, diagnostics

REFERENCES = {
    "sgd": Reference(
        "torch.optim.SGD", dict.fromkeys(("momentum", "dampening", "nesterov"), "methods momentum and nesterov")
    ),
    "momentum": Reference("torch.optim.SGD", {"momentum": "beta", "nesterov": "method nesterov"}),
    "nesterov": Reference("torch.optim.SGD", {"momentum": "beta", "dampening": "0, as torch asks", "nesterov": "on"}),
    "heavy_ball": Reference("arXiv 1412.7457"),
    "spa": Reference("arXiv 2010.00406"),
    "schedule_free": Reference("schedulefree.SGDScheduleFree", {"momentum": "beta"}),
    "schedule_free_adamw": Reference("schedulefree.AdamWScheduleFree", BETAS),
    "dual_averaging": Reference("arXiv 2010.10502"),
    "mda": Reference("arXiv 2010.10502"),
    "madgrad": Reference("madgrad.MADGRAD", MADGRAD),
    "mirror_madgrad": Reference("madgrad.MirrorMADGRAD", MADGRAD),
    "adagrad_norm": Reference("arXiv 1806.01811"),
    "adagrad": Reference("torch.optim.Adagrad"),
    "adam": Reference("torch.optim.Adam", {**ADAM, "amsgrad": "method amsgrad"}),
    "adamw": Reference("torch.optim.AdamW", {**BETAS, "amsgrad": "method amsgrad"}),
    "amsgrad": Reference("torch.optim.Adam", {**ADAM, "amsgrad": "on"}),
    "nadam": Reference("torch.optim.NAdam", ADAM),
    "gradagrad": Reference("arXiv 2206.06900"),
    "gradagrad_coordinate": Reference("arXiv 2206.06900"),
    "normalized_sgd": Reference("optax.normalize_by_update_norm", {"scale_factor": "base_lr"}),
    "sign_sgd": Reference("optax.sign_sgd"),
    "lion": Reference("optax.lion", {"b1": "beta1", "b2": "beta2"}),
    "muon": Reference("torch.optim.Muon", {"ns_coefficients": "ns_a, ns_b, ns_c", "adjust_lr_fn": "match_rms"}),
    "muon_exact": Reference(
        "torch.optim.Muon",
        dict.fromkeys(("ns_coefficients", "ns_steps", "eps"), "exact instead") | {"adjust_lr_fn": "match_rms"},
    ),
    "polyak": Reference("arXiv 1905.00313"),
    "sp": Reference("arXiv 2106.11851"),
    "sps_max": Reference("arXiv 2002.10542"),
    "taps": Reference("arXiv 2106.11851"),
    "motaps": Reference("arXiv 2106.11851"),
    "momo": Reference("momo.Momo", MOMO),
    "momo_star": Reference("momo.Momo", MOMO),
    "momo_adam": Reference("momo.MomoAdam", {**BETAS, **MOMO}),
    "adasps": Reference("arXiv 2308.06058"),
    "decsps": Reference("arXiv 2205.04583"),
    "dadapt_da": Reference("arXiv 2301.07733"),
    "dadapt_gd": Reference("arXiv 2301.07733"),
    "dadapt_adagrad": Reference("arXiv 2301.07733"),
    "prodigy_gd": Reference("arXiv 2306.06101"),
    "prodigy_da": Reference("arXiv 2306.06101"),
    "resetting": Reference("arXiv 2306.06101"),
    "dog": Reference("dog.DoG"),
    "dog_layerwise": Reference("dog.LDoG"),
    "dowg": Reference("optax.contrib.dowg"),
    "dadapt_sgd": Reference("dadaptation.DAdaptSGD"),
    "dadapt_adam": Reference("dadaptation.DAdaptAdam", DADAPT),
    "dadapt_lion": Reference("dadaptation.DAdaptLion", BETAS),
    "dadapt_adagrad_practical": Reference("dadaptation.DAdaptAdaGrad"),
    "prodigy": Reference("prodigyopt.Prodigy", DADAPT),
    "mechanic_sgd": MECHANIC,
    "mechanic_adam": MECHANIC,
    "mechanic_adamw": MECHANIC,
}


def cross(method: str) -> dict[str, str]:
    """Return every option of the reference with what it is here: an option, a word, ``refused`` or ``gap``."""
    reference, found = REFERENCES[method], dict.fromkeys(REFERENCES[method].gaps, "gap")
    for name in reference.parameters():
        if name in reference.here:
            found[name] = reference.here[name]
        elif name in METHODS[method].options:
            found[name] = name
        elif name in REFUSED:
            found[name] = "refused"
        elif name not in found and name not in ALWAYS:
            found[name] = "missing"
    return found


def table() -> str:
    """Return the table of the docs."""
    lines = ["| method | reference | options | called otherwise | refused | |", "|---|---|---|---|---|---|"]
    for method in METHODS:
        reference = REFERENCES[method]
        found = cross(method)
        otherwise = [f"`{name}`: {what}" for name, what in found.items() if name in reference.here]
        refused = [f"`{name}`" for name, what in found.items() if what == "refused"]
        gaps = [f"`{name}` ({why})" for name, why in reference.gaps.items()]
        options = ", ".join(f"`{name}`" for name in METHODS[method].options) or "none"
        verdict = "without " + ", ".join(gaps) if gaps else "complete"
        cells = (f"`{method}`", reference.of, options, "; ".join(otherwise), ", ".join(refused), verdict)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
