"""The doorbell: the only place that puts tasks into the queue.

The row goes in with the caller's transaction (ORM broker), so what is rung for and the ring itself
appear together or not at all. Tasks carry ids only, and claim what they work on.
"""

from __future__ import annotations

from django_q.tasks import async_task


def ring(path: str, *args: int, timeout: int = 60) -> None:
    """Have a worker call the function at the dotted `path` with `args`; it is killed after `timeout` seconds."""
    async_task(path, *args, timeout=timeout)
