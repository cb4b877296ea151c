"""One measured figure beside its baseline, printed as it comes."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class Table:
    """Collects the figures of one run and says at the end which limits were missed."""

    missed: list[str] = field(default_factory=list)

    def head(self, title: str) -> None:
        print(f"\n== {title}", flush=True)

    def say(self, text: str) -> None:
        print(f"   {text}", flush=True)

    def ratio(
        self, name: str, ours: Sequence[float], baseline: Sequence[float], limit: float, *, digits: int = 2
    ) -> None:
        """Medians in seconds with so many digits, and their ratio against `limit`."""
        mine, base = statistics.median(ours), statistics.median(baseline)
        times = f"{mine:.{digits}f} s, baseline {base:.{digits}f} s"
        self._row(f"{name}: {times}, ratio {mine / base:.2f}", mine / base, limit, "×")

    def figure(self, name: str, value: float, limit: float, unit: str) -> None:
        self._row(f"{name}: {value:.1f} {unit}", value, limit, unit)

    def _row(self, text: str, value: float, limit: float, unit: str) -> None:
        held = value <= limit
        print(f"{'ok  ' if held else 'MISS'} {text} (at most {limit:g} {unit})", flush=True)
        if not held:
            self.missed.append(text)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of the sorted values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
