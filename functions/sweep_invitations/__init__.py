"""Finds users who are still waiting, and has those who are due asked again."""
