"""Laws of the loss as functions of the learning rates."""
