"""Adapters for Hugging Face, Lightning and optax, and snippets that use them."""
