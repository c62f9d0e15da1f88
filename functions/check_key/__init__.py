"""Checks when the API key expires."""
