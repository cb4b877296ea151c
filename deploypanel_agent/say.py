"""What the program says to whoever runs it: lines on standard error, with the time unless the journal adds it."""

from __future__ import annotations

import os
import sys
import threading
import time

_lock = threading.Lock()
_timed = "JOURNAL_STREAM" not in os.environ


def say(text: str) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S ") if _timed else ""
    line = f"{stamp}{text}\n".encode("utf-8", "replace").decode()
    with _lock:
        try:
            sys.stderr.write(line)
            sys.stderr.flush()
        except (OSError, ValueError):
            return  # nobody reads it
