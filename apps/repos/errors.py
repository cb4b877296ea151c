"""What can go wrong with Git.

GitError                  PanelError: a sentence for a person, with the remedy
├── Unreachable           the server does not answer, or no such host
├── HostKeyRefused        the server's host key is not pinned, or has changed
├── LoginRefused          the server does not accept the key, the user or the token
├── RemoteMissing         the server has no such repository, or hides it
├── PushRefused           the server takes no such push: a protected branch, a hook of its own
├── PushOvertaken         another pushed to the branch meanwhile
├── FetchStopped          the caller asked to stop
├── MirrorDamaged         objects are missing or unreadable: the mirror must be rebuilt
└── NotMirrored           nothing was fetched yet on this machine
RefMissing                NotFound: no such branch, tag or commit; suggests near ones
UnsafePath                InputError: a path that leads out of the tree
"""

from __future__ import annotations

from apps.access.errors import InputError, NotFound, PanelError


class GitError(PanelError):
    """Git could not do it. `said` is what Git itself said, for the log."""

    def __init__(self, message: str, said: str = "") -> None:
        super().__init__(message)
        self.said = said


class Unreachable(GitError):
    """The server does not answer."""


class HostKeyRefused(GitError):
    """The server's host key is not the pinned one. `offered` is its fingerprint, where Git's ssh told it."""

    def __init__(self, message: str, said: str = "", offered: str = "") -> None:
        super().__init__(message, said)
        self.offered = offered


class LoginRefused(GitError):
    """The server knows us not."""


class RemoteMissing(GitError):
    """The server has no such repository, or does not show it to us."""


class PushRefused(GitError):
    """The server knows us, and takes no such push: the branch is protected, or a hook says no."""


class PushOvertaken(GitError):
    """The branch has moved meanwhile: fetch, and do it again on top."""


class FetchStopped(GitError):
    """The caller asked to stop while Git was at work or while it waited for another fetch."""


class MirrorDamaged(GitError):
    """The mirror lacks objects that it should have, or cannot read them."""


class NotMirrored(GitError):
    """The repository was never fetched on this machine."""


class RefMissing(NotFound):
    """No such branch, tag or commit. `near` holds names that look like it."""

    def __init__(self, message: str, near: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.near = near


class UnsafePath(InputError):
    """A name in a tree that leads, by a link or by dots, to a place outside of it."""
