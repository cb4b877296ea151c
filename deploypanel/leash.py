"""Run a program that ends when its starter ends: `python leash.py STARTER_PID SIGNAL PROGRAM ARGUMENTS…`.

The kernel sends the signal when the starter dies, however it dies (Linux's PR_SET_PDEATHSIG). It survives
the exec below and is not inherited by what the program starts, so that runners live on.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

SET_PARENT_DEATH_SIGNAL = 1


def main(starter: int, number: int, argv: list[str]) -> None:
    with contextlib.suppress(OSError, AttributeError):  # not Linux: the next start ends what was left
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, number, 0, 0, 0)
    if os.getppid() != starter:
        sys.exit(0)  # it died before the kernel could be told
    os.execvp(argv[0], argv)  # noqa: S606 - that is the point


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
