"""`make chaos`: send many requests through the deployed stack while faults are injected."""

from local.chaos.run import main

__all__ = ["main"]
