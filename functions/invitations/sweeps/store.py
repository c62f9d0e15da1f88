"""The latest sweep, in one item of the table."""

from dataclasses import dataclass

from invitations.sweeps.sweep import Sweep
from invitations.table import ConflictError, Item, Key, Table

_KEY: Key = ("SWEEP", "SWEEP")


@dataclass(frozen=True)
class SweepStore:
    """Both methods raise TableUnavailableError when their effect is unknown or absent."""

    table: Table

    def read(self) -> tuple[Sweep | None, Item]:
        """Return the latest sweep, and the item that it was read from."""
        item = self.table.read([_KEY])[0]
        return (Sweep.from_json(item["sweep"]) if item else None), item

    def write(self, sweep: Sweep, seen: Item) -> Item | None:
        """Return the item as written; None when another execution has changed it since."""
        try:
            return self.table.write(_KEY, {"sweep": sweep.to_json()}, seen)
        except ConflictError:
            return None
