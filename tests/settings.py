"""For processes that a test starts: the panel's settings, and the kind of run that tests use."""

from __future__ import annotations

from deploypanel.settings import *  # noqa: F403
from deploypanel.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.support.kinds_app.KindsConfig"]
