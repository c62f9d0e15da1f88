"""`make chaos`: many requests through the deployed stack while everything around it fails."""

from local.chaos.run import main

__all__ = ["main"]
