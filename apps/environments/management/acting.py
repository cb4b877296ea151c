"""What the commands about environments share: naming one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.access.errors import NotFound
from apps.access.spelling import closest
from apps.environments.selectors import environment_named, environments_visible
from apps.runs.starting import StartingCommand

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.core.management.base import CommandParser

    from apps.environments.models import Environment


class ActingCommand(StartingCommand):
    """A command about one environment that may start a run."""

    def add_subject_argument(self, parser: CommandParser) -> None:
        parser.add_argument("subject", metavar="SUBJECT", help="the environment: REPOSITORY/ENVIRONMENT")

    def add_acting_arguments(self, parser: CommandParser) -> None:
        self.add_subject_argument(parser)
        super().add_acting_arguments(parser)


def environment_meant(path: str, user: User | None) -> Environment:
    """The environment that `user` may see; raises NotFound with the nearest name."""
    try:
        return environment_named(path, user)
    except NotFound as error:
        near = closest(path, environments_visible(user).values_list("path", flat=True))
        raise NotFound(f"{error}{near.removesuffix('.').replace('; did', ' Did')}") from None
