"""Locks between commands in one folder; as a program, runs a command while it holds a lock.

Needs no package, because the program runs before any is installed: `python lock.py PATH COMMAND …`.
"""

import fcntl
import os
import sys


def hold_lock(path: str | os.PathLike[str]) -> int:
    """Wait for the lock of a file and return its descriptor; closing it ends the lock.

    The kernel ends the lock of a process that ended in any way.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.stderr.write("Waiting for another make command in this folder.\n")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


if __name__ == "__main__":
    os.set_inheritable(hold_lock(sys.argv[1]), True)
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  # the Makefile's own command
