"""The table in memory, with the same rule as the real one: a write names the item that was read."""

import json
import threading
from collections.abc import Sequence
from itertools import count

from invitations.table import ConflictError, Item, Key, Table


class InMemoryTable(Table):
    """One lock in place of conditions. The contract suite holds it against the real adapter."""

    def __init__(self) -> None:
        self.items: dict[Key, Item] = {}
        self.replaced: dict[Key, Item] = {}
        """What the latest write of each item replaced."""
        self._lock = threading.Lock()
        self._revisions = count(1)

    def read(self, keys: Sequence[Key], *, consistent: bool = True) -> list[Item]:
        with self._lock:
            return [self.items.get(key, {}) for key in keys]

    def write(self, key: Key, item: Item, seen: Item) -> Item:
        with self._lock:
            stands = self.items.get(key, {})
            if stands.get("revision") != seen.get("revision"):
                raise ConflictError(stands)
            plain = json.loads(json.dumps(item))
            written = {
                **{name: each for name, each in plain.items() if each is not None},
                "pk": key[0],
                "sk": key[1],
                "revision": f"revision-{next(self._revisions)}",
            }
            self.items[key], self.replaced[key] = written, stands
            return written
