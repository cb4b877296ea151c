"""The ground that the tests stand on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import connection

pytestmark = pytest.mark.database


@pytest.mark.django_db(transaction=True)
def test_a_child_process_sees_the_database_of_the_test() -> None:
    User.objects.create_user("alice")
    root = Path(__file__).resolve().parent.parent.parent
    code = "from django.contrib.auth.models import User; print([u.username for u in User.objects.all()])"
    shell = [sys.executable, str(root / "manage.py"), "shell", "--no-imports", "-c", code]
    done = subprocess.run(shell, capture_output=True, text=True, check=True)
    assert "['alice']" in done.stdout


@pytest.mark.django_db
def test_the_database_is_the_one_that_was_asked_for() -> None:
    on_postgres = bool(os.environ.get("DEPLOYPANEL_TEST_POSTGRES"))
    assert connection.vendor == ("postgresql" if on_postgres else "sqlite")


def test_the_data_folder_is_the_tests_own(tmp_path: Path) -> None:
    assert settings.DATA_DIR == tmp_path / "data" == Path(os.environ["DEPLOYPANEL_DATA"])
