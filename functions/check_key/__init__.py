"""Finds out when the key to the API expires."""
