"""Training loops, optimizers, the torch scheduler and the gradient-norm recorder."""
