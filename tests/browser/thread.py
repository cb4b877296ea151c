"""Playwright in a thread of its own.

Its synchronous interface runs an event loop in the thread that uses it, and Django gives a thread with a
running loop other database connections. So the browser lives in one thread, and tests hold stand-ins
that pass every call over.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Remote:
    """Stands for a Playwright object (or one of its methods) that may only be touched in `pool`'s one thread."""

    def __init__(self, pool: ThreadPoolExecutor, target: Any) -> None:
        self._pool, self._target = pool, target

    def __getattr__(self, name: str) -> Any:
        return self._wrapped(self._pool.submit(getattr, self._target, name).result())

    def __setattr__(self, name: str, value: Any) -> None:
        if name in {"_pool", "_target"}:
            super().__setattr__(name, value)
        else:
            raise AttributeError(name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = [arg._target if isinstance(arg, Remote) else arg for arg in args]
        return self._wrapped(self._pool.submit(self._target, *given, **kwargs).result())

    def __enter__(self) -> Any:
        return self._wrapped(self._pool.submit(self._target.__enter__).result())

    def __exit__(self, *error: object) -> None:
        self._pool.submit(self._target.__exit__, *error).result()

    def _wrapped(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._wrapped(one) for one in value]
        foreign = callable(value) or type(value).__module__.startswith("playwright")
        return Remote(self._pool, value) if foreign else value
