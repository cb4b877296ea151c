"""Reads of the database on behalf of event loops, in few threads that keep no connection."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

# Few, so that many viewers who come back at once wait in line and not in memory.
_readers = ThreadPoolExecutor(max_workers=4, thread_name_prefix="run-reader")
_Result = TypeVar("_Result")


async def read(function: Callable[[], _Result]) -> _Result:
    """`function()` in a reader thread, whose database connection is given back afterwards."""

    def work() -> _Result:
        try:
            return function()
        finally:
            connection.close()

    return await asyncio.get_running_loop().run_in_executor(_readers, work)


async def paced(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same parts, each made only when the one before has been sent."""
    while (part := await read(lambda: next(parts, None))) is not None:
        yield part
