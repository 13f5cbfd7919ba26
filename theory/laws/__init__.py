"""Laws that predict the loss of a run from its learning rates, one file a law."""
