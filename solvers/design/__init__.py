"""The best schedule inside constraints."""
