"""What can go wrong between the panel and a host.

HostError                 names the host, what happened, and what to do
├── HostKeyMissing        no pinned key: nobody has confirmed who this host is
├── HostKeyChanged        the host shows another key than the pinned one
├── HostUnreachable       no such name, no route
├── HostRefused           nothing listens there
├── HostSilent            no answer in time
├── HostLoginFailed       the host does not accept the user with this key
├── HostCutOff            the connection broke in the middle
│   └── HostBusy          it was dropped before the greeting, as by a server with too many at once
└── KeyUnusable           the panel's own private key cannot be read
"""

from __future__ import annotations

from apps.access.errors import PanelError


class HostError(PanelError):
    """`problem` is what happened, `remedy` what to do about it; both are sentences."""

    def __init__(self, host: str, problem: str, remedy: str = "") -> None:
        super().__init__(f"{host}: {problem} {remedy}".rstrip())
        self.host, self.problem, self.remedy = host, problem, remedy


class HostKeyMissing(HostError):
    pass


class HostKeyChanged(HostError):
    """`old` and `new` are SHA256 fingerprints as `ssh-keygen -lf` prints them."""

    def __init__(self, host: str, old: str, new: str) -> None:
        super().__init__(
            host,
            f"The host key has changed: pinned is {old}, the host shows {new}.",
            "If the host was reinstalled, scan its key and confirm it; otherwise someone may sit in between.",
        )
        self.old, self.new = old, new


class HostUnreachable(HostError):
    pass


class HostRefused(HostError):
    pass


class HostSilent(HostError):
    pass


class HostLoginFailed(HostError):
    pass


class HostCutOff(HostError):
    pass


class HostBusy(HostCutOff):
    pass


class KeyUnusable(HostError):
    pass
