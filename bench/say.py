"""How a measurement tells whoever waits what it does."""

from collections.abc import Callable

Say = Callable[[str], None]
