"""The runs that this agent holds: one folder each, from the moment it took one until the panel has its whole story.

runs/123/order.json     what was asked; the folder gets its name by a rename, so it is there whole or not at all
         script.yaml    what is run, fixed when it begins
         payload.json   for the script
         events         the journal
         stop.json      somebody wants it stopped
         steps/…        commands at work, see command.py
done                    one line per run that was dropped: never again
finished.json           the last count finished of each trigger
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from deploypanel_agent.disk import read_json, sync_folder, write_json, write_synced
from deploypanel_agent.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

REMEMBERED = 2000  # runs that were dropped


class Held:
    """One run on this agent's disk."""

    def __init__(self, folder: Path, order: dict[str, Any]) -> None:
        self.folder = folder
        self.order = order
        self.number = int(order["run"])
        self.trigger = str(order.get("trigger") or "")
        self.count = int(order.get("count") or 0)
        self.journal = Journal(folder / "events", base=int(order.get("stored") or 0))

    @property
    def ended(self) -> bool:
        return self.journal.ended is not None

    @property
    def begun(self) -> bool:
        return self.journal.has("started") is not None

    def told(self) -> dict[str, Any]:
        """What the panel is told of it first."""
        fired_at = str(self.order.get("fired_at") or "")
        return {"events": self.journal.count, "ended": self.ended, "fired_at": fired_at}

    def is_of(self, order: dict[str, Any]) -> bool:
        """Whether this order is its own. A panel that was restored from a backup gives out numbers a second time."""
        return "fired_at" not in self.order or _mark(self.order) == _mark(order)

    @property
    def stop_by(self) -> str | None:
        """Who wants it stopped; None: nobody."""
        told = read_json(self.folder / "stop.json")
        return str(told.get("by") or "") if isinstance(told, dict) else None

    def stop(self, by: str) -> None:
        write_json(self.folder / "stop.json", {"by": by})

    def fix_script(self, text: str) -> None:
        """What is run from now on, whatever happens to the file that it came from."""
        write_synced(self.folder / "script.yaml", text.encode(), folder=False)
        payload = json.dumps(self.order.get("payload"), ensure_ascii=False)
        write_synced(self.folder / "payload.json", payload.encode("utf-8", "replace"))

    def begun_at(self) -> float | None:
        """Seconds since 1970, by this machine's clock, when it was about to begin; None: it was not yet."""
        try:
            return (self.folder / "payload.json").stat().st_mtime
        except OSError:
            return None

    def fixed_script(self) -> str:
        return (self.folder / "script.yaml").read_text(encoding="utf-8")


class Holdings:
    """All runs on the disk, and what is remembered of those that are gone."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._runs = state / "runs"
        self._lock = threading.Lock()  # triggers are worked side by side
        self._runs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._finished: dict[str, int] = dict(read_json(state / "finished.json") or {})
        self._done = self._load_done()

    def load(self) -> list[Held]:
        """Every run that was taken and not dropped, oldest first; what a crash left half-made is cleared away."""
        found = []
        for folder in sorted(self._runs.iterdir(), key=lambda path: path.name):
            order = read_json(folder / "order.json") if folder.name.isdecimal() else None
            if isinstance(order, dict) and str(order.get("run")) == folder.name:
                found.append(Held(folder, order))
            else:
                shutil.rmtree(folder, ignore_errors=True)
        return sorted(found, key=lambda held: (held.count, held.number))

    def take(self, order: dict[str, Any]) -> Held:
        """From here on the run is this agent's: it is on the disk."""
        name = str(int(order["run"]))
        fresh = self._runs / f".{name}"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        write_json(fresh / "order.json", order)
        folder = self._runs / name
        fresh.rename(folder)
        sync_folder(self._runs)
        return Held(folder, order)

    def drop(self, held: Held) -> None:
        """The panel has its whole story. It is remembered that it was here, so that it is never run again."""
        held.journal.close()
        self._remember(_mark(held.order))
        gone = self._runs / f".gone-{held.number}"
        with contextlib.suppress(OSError):
            held.folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def was_here(self, order: dict[str, Any]) -> bool:
        """Whether this very run was taken and dropped before."""
        return _mark(order) in self._done

    def finished(self) -> dict[str, int]:
        return dict(self._finished)

    def finish(self, held: Held) -> None:
        """Its trigger's last count, on the disk before the end is reported."""
        with self._lock:
            if held.trigger and self._finished.get(held.trigger, 0) != held.count:
                finished = {**self._finished, held.trigger: held.count}
                write_json(self._state / "finished.json", finished)
                self._finished = finished

    def clear(self) -> None:
        """Forget everything: another panel, or another agent of it, numbers its runs anew."""
        shutil.rmtree(self._runs, ignore_errors=True)
        for name in ("done", "finished.json"):
            with contextlib.suppress(FileNotFoundError):
                (self._state / name).unlink()

    def _load_done(self) -> deque[str]:
        path = self._state / "done"
        try:
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return deque(maxlen=REMEMBERED)
        if len(lines) > 2 * REMEMBERED:
            lines = lines[-REMEMBERED:]
            write_synced(path, ("\n".join(lines) + "\n").encode())
        return deque(lines, maxlen=REMEMBERED)

    def _remember(self, mark: str) -> None:
        with self._lock:
            handle = os.open(self._state / "done", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(handle, f"{mark}\n".encode())
                os.fsync(handle)
            finally:
                os.close(handle)
            self._done.append(mark)


def _mark(order: dict[str, Any]) -> str:
    return " ".join(str(order.get(name) or "-").replace("\n", " ") for name in ("run", "fired_at"))
