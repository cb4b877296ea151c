"""Dockerfile and docker-compose.yml name commands, settings, files and ports that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands, load_command_class

from deploypanel import environment
from tests.house.test_documents import settings_read

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
SERVICES = COMPOSE["services"]
OURS = [name for name in SERVICES if "build" in SERVICES[name] or "image" not in SERVICES[name]]


def test_there_is_a_database_a_web_a_worker_and_a_clock() -> None:
    assert set(SERVICES) == {"postgres", "web", "workers", "clock"}
    assert OURS == ["web", "workers", "clock"]


@pytest.mark.parametrize("name", OURS)
def test_every_command_exists_and_takes_its_arguments(name: str) -> None:
    command = SERVICES[name]["command"]
    words = command if isinstance(command, list) else shlex.split(command)
    assert words[:2] == ["python", "manage.py"]
    assert words[2] in get_commands()
    parser = load_command_class(get_commands()[words[2]], words[2]).create_parser("manage.py", words[2])
    parser.parse_args(words[3:])


@pytest.mark.parametrize("name", OURS)
def test_every_setting_exists(name: str) -> None:
    known = settings_read()
    given = {setting.removesuffix("_FILE") for setting in SERVICES[name]["environment"]}
    assert given <= known, given - known


@pytest.mark.parametrize("name", OURS)
def test_the_database_is_the_one_of_the_compose_file(name: str) -> None:
    url = SERVICES[name]["environment"]["DEPLOYPANEL_DATABASE_URL"]
    database = environment.database(url, Path("/data"), web=name == "web")
    assert database["HOST"] in SERVICES
    postgres = SERVICES["postgres"]["environment"]
    assert (database["NAME"], database["USER"]) == (postgres["POSTGRES_DB"], postgres["POSTGRES_USER"])


def test_services_refer_to_what_is_declared() -> None:
    for name, service in SERVICES.items():
        for other in service.get("depends_on", {}):
            assert other in SERVICES, name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source.startswith(".") or source in COMPOSE["volumes"], name
        for secret in service.get("secrets", []):
            assert secret in COMPOSE["secrets"], name


def test_ports_are_those_that_the_web_process_listens_on() -> None:
    web = SERVICES["web"]
    port = str(web["environment"]["DEPLOYPANEL_PORT"])
    assert [published.rpartition(":")[2] for published in web["ports"]] == [port]
    assert f"EXPOSE {port}" in DOCKERFILE
    assert all(f":{port}/health" in " ".join(service["healthcheck"]["test"]) for service in [web])


def test_the_dockerfile_copies_what_exists() -> None:
    for line in re.findall(r"^COPY (?:--\S+ )*(.+)$", DOCKERFILE, re.M):
        *sources, _ = shlex.split(line)
        for source in sources:
            assert (ROOT / source).exists(), source


def test_the_dockerfile_installs_every_program_the_panel_needs() -> None:
    from apps.runs.process import PACKAGES
    from deploypanel.doctor.machine import NEEDED

    for name in NEEDED:
        assert re.search(rf"\b{PACKAGES[name]}\b", DOCKERFILE), name
    assert "--require-hashes" in DOCKERFILE


def test_only_known_instructions_are_used() -> None:
    known = {"FROM", "RUN", "COPY", "WORKDIR", "ENV", "EXPOSE", "USER", "VOLUME", "CMD", "ENTRYPOINT", "HEALTHCHECK"}
    logical = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.M))
    used = {line.split(maxsplit=1)[0] for line in logical.splitlines() if line.strip()}
    assert used <= known, used - known
