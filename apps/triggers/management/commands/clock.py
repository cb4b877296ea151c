from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from apps.access.command import PanelCommand
from apps.triggers.chores import CHORES
from apps.triggers.clock import Clock

if TYPE_CHECKING:
    from types import FrameType


class Command(PanelCommand):
    help = "Start what is due, every second, until stopped. The panel runs it; one clock per installation works."
    examples = "manage.py clock"

    def work(self, **options: Any) -> None:
        clock = Clock(CHORES)

        def stop(_number: int, _frame: FrameType | None) -> None:
            clock.stopping.set()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        clock.run()
