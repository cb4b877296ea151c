"""The filters of the panel's templates; what they write is in `apps.runs.wording`."""

from __future__ import annotations

from django import template

from apps.runs import wording

register = template.Library()

FILTERS = (
    wording.age,
    wording.moment,
    wording.moment_in,
    wording.duration,
    wording.took,
    wording.short,
    wording.state_badge,
)
for _filter in FILTERS:
    register.filter(_filter.__name__, _filter)
