"""Long files first, so that no worker of pytest-xdist is left alone with one of them at the end.

`scripts/test` hands out whole files (`--dist loadfile --no-loadscope-reorder`) in the order made here.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

# Seconds that a test with such a fixture takes at least, roughly: what it starts must start.
STARTED = {
    "panel_stopped": 6.0,
    "web_server": 5.0,
    "sshd_fleet": 4.0,
    "chromium": 2.0,
    "live_server": 1.0,
    "fake_node": 0.6,
    "transactional_db": 0.2,
}
PANEL_BY_HAND = 8.0  # marked `panel`, but starts it without the fixture, as the demo's test does
PLAIN = 0.05
# Tests that start nothing and are long all the same: they ask for every address there is.
WALKS = {"test_walk.py": 5.0, "test_urls_outsider.py": 3.0}


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    seconds: Counter[Path] = Counter()
    for item in items:
        seconds[item.path] += seconds_of(item)  # type: ignore[assignment]
    items.sort(key=lambda item: (-seconds[item.path], item.path))  # stable: a file keeps its own order


def seconds_of(item: pytest.Item) -> float:
    """What a test takes, by the dearest thing that it asks for."""
    fixtures = getattr(item, "fixturenames", ())
    started = [seconds for name, seconds in STARTED.items() if name in fixtures]
    if item.get_closest_marker("panel") and "panel_stopped" not in fixtures:
        started.append(PANEL_BY_HAND)
    return max(started, default=WALKS.get(item.path.name, PLAIN))
