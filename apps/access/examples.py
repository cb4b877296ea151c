"""Ready calendars to begin with."""

from __future__ import annotations

from typing import Any

# The hours that this panel's predecessor had in its code: only production was restricted to them.
OFFICE: dict[str, Any] = {
    "name": "office",
    "timezone": "Europe/Paris",
    "weekly": {**dict.fromkeys(("mon", "tue", "wed", "thu"), "08:00-18:30"), "fri": "08:00-14:00"},
    "closed": ["01-01", "05-01", "05-08", "07-14", "11-01", "11-11", "12-24", "12-25", "12-26", "12-31"],
}
