"""What is the same for all calls of a burst, read once for it.

A burst is the calls that waited together, taken at one moment: what is read after that moment is news to every
one of them. So what its first call reads of the database, such as the repository and which branches are
followed, holds for the others too. Outside a burst, nothing is remembered.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator

Found = TypeVar("Found")
_memory: ContextVar[dict[Hashable, Any] | None] = ContextVar("burst", default=None)


@contextmanager
def burst() -> Iterator[None]:
    """While the block runs, in this thread, what is read is remembered."""
    token = _memory.set({})
    try:
        yield
    finally:
        _memory.reset(token)


def once(key: Hashable, read: Callable[[], Found]) -> Found:
    """What `read` gives; within a burst it is asked once for each key. Nobody may change what comes back."""
    memory = _memory.get()
    if memory is None:
        return read()
    if key not in memory:
        memory[key] = read()
    found: Found = memory[key]
    return found
