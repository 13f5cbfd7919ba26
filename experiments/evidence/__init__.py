"""The evidence study, which asks whether theory's answer holds on real workloads."""
