"""Whether someone may watch a run, asked anew each time: sessions end and rights are withdrawn."""

from __future__ import annotations

import enum
from importlib import import_module
from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth import get_user
from django.http import HttpRequest

from apps.runs.models import Run
from apps.runs.selectors import run_visible_to

if TYPE_CHECKING:
    from django.contrib.auth.models import User


class Standing(enum.Enum):
    """What a viewer is at this moment."""

    WELCOME = enum.auto()
    NOT_SIGNED_IN = enum.auto()
    NO_SUCH_RUN = enum.auto()  # or none that this person may see


def session_user(session_key: str) -> User | None:
    """The active person signed in with this session, read from the database now."""
    request = HttpRequest()
    request.session = import_module(settings.SESSION_ENGINE).SessionStore(session_key or None)
    user = get_user(request)
    return user if user.is_authenticated and user.is_active else None


def standing(session_key: str, run_id: int) -> Standing:
    """What the holder of this session is to this run. A handful of queries."""
    user = session_user(session_key)
    if user is None:
        return Standing.NOT_SIGNED_IN
    run = Run.objects.filter(pk=run_id).first()
    if run is None or not run_visible_to(user, run):
        return Standing.NO_SUCH_RUN
    return Standing.WELCOME
