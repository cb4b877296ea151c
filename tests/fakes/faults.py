"""What can go wrong between a client and a server, to be switched on for any call of a fake."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

# Before the work: nothing was done. After it: all was done, and the answer suffers.
BEFORE = {"reset_before", "html_502", "never", "redirect", "status"}
AFTER = {
    "reset_after", "half_body", "half_chunk", "half_head", "html_502_after", "never_after", "slow", "slow_body",
    "garbage", "gzip_bomb", "zip_bomb", "endless",
}  # fmt: skip
ALIASES = {"retry_after": "status:429"}


@dataclass
class Fault:
    """`after` matching calls go well, then `times` go wrong (None: all of them)."""

    method: str
    path: str  # may hold *; without the query
    kind: str
    times: int | None = 1
    after: int = 0
    retry_after: str = ""  # the header, with a status
    pause: float = 0.05  # seconds between two bytes of a slow answer
    seconds: float | None = None  # how long a refusing node stays away; None: until it is opened
    location: str = "http://192.0.2.1/"  # of a redirect
    hits: int = 0

    def matches(self, method: str, path: str) -> bool:
        return fnmatchcase(method, self.method) and fnmatchcase(path, self.path)

    def is_on(self) -> bool:
        """Count one more matching call, and say whether it goes wrong."""
        self.hits += 1
        return self.hits > self.after and (self.times is None or self.hits <= self.after + self.times)


@dataclass
class Faults:
    """All faults of one fake.

    Nothing was done: `reset_before`, `html_502`, `never`, `redirect`, `status:NNN`, `retry_after` (429 with it).
    The work was done: `reset_after`, `half_body`, `half_chunk`, `half_head`, `html_502_after`, `never_after`, `slow`,
    `slow_body`, `garbage`, `gzip_bomb`, `zip_bomb`, `endless`.
    And `refused`, which cannot know a call before it comes, and therefore works the other way round: once `after`
    matching calls (at least one) were answered, nobody listens any more.
    """

    armed: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, method: str, path: str, kind: str, times: int | None = 1, after: int = 0, **more: object) -> Fault:
        kind = ALIASES.get(kind, kind)
        if kind.partition(":")[0] not in BEFORE | AFTER | {"refused"}:
            raise ValueError(f"No such fault: {kind}")
        if kind == "status:429" and "retry_after" not in more:
            more["retry_after"] = "1"
        fault = Fault(method, path, kind, times, after, **more)  # type: ignore[arg-type]
        with self._lock:
            self.armed.append(fault)
        return fault

    def clear(self) -> None:
        with self._lock:
            self.armed.clear()

    def for_call(self, method: str, path: str) -> Fault | None:
        """The first fault that is on for this call; each that matches counts it."""
        with self._lock:
            on = [one for one in self.armed if one.kind != "refused" and one.matches(method, path) and one.is_on()]
        return on[0] if on else None

    def leaves_after(self, method: str, path: str) -> Fault | None:
        """The fault by which the server goes away once this call is answered."""
        with self._lock:
            for one in self.armed:
                if one.kind == "refused" and one.matches(method, path):
                    one.hits += 1
                    if one.hits == max(one.after, 1):
                        return one
        return None
