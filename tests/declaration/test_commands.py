"""`apply` and `dump` as commands."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from apps.environments.models import Host
from tests.declaration.conftest import FULL

pytestmark = pytest.mark.django_db(transaction=True)


def manage(*words: str, cwd: Path, stdin: str = "") -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), *words],
        cwd=cwd,
        env=os.environ,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


def test_apply_twice_then_dump_and_apply_that(folder: Path, tmp_path: Path) -> None:
    file = folder / "shop.yaml"
    file.write_text(FULL)
    status, out, err = manage("apply", str(file), "--dry-run", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert "dry run, nothing was changed: 10 created" in out
    assert not Host.objects.exists()
    status, out, _ = manage("apply", str(file), "--json", cwd=tmp_path)
    assert status == 0
    assert {change["change"] for change in json.loads(out)["changes"]} == {"created"}
    assert manage("apply", str(file), cwd=tmp_path) == (0, "nothing to change\n", "")
    status, dump, _ = manage("dump", cwd=tmp_path)
    assert status == 0
    assert manage("apply", "-", "--prune", cwd=tmp_path, stdin=dump) == (0, "nothing to change\n", "")


def test_apply_refuses_with_file_and_line(folder: Path, tmp_path: Path) -> None:
    file = folder / "shop.yaml"
    file.write_text("hosts: []\nclusters: [{name: blue, hosts: [web1]}]\n")
    status, out, err = manage("apply", str(file), cwd=tmp_path)
    assert (status, out) == (2, "")
    assert err == f"{file}:2:33: clusters[0].hosts[0]: no host is called 'web1'\n"
    status, _, err = manage("apply", "nowhere.yaml", cwd=tmp_path)
    assert (status, err) == (2, "nowhere.yaml: cannot be read (No such file or directory)\n")
