"""Carries out requests."""
