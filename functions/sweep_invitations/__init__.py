"""Finds users who are still invited, and requests an invitation for each who is due."""
