"""Sweeps: searches for users who are still invited. Only the function that sweeps loads them."""
