"""The database may be locked or away for a moment; the work must not die of it."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, TypeVar

from django.db import InterfaceError, OperationalError, connection

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


def patiently(act: Callable[[], Result], *, seconds: float) -> Result:
    """Call `act`, again each second on a fresh connection while the database is away; after `seconds`, its error."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return act()
        except (OperationalError, InterfaceError) as error:
            if time.monotonic() > deadline:
                raise
            logger.warning("The database is away (%s); trying again.", error)
            if not connection.in_atomic_block:
                connection.close()
            time.sleep(1)
