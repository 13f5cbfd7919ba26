"""Search for near-optimal schedule shapes."""
