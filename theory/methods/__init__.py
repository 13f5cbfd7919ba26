"""Methods as matrices of steps: what SGD, momentum, averaging and dual averaging do with their gradients."""
