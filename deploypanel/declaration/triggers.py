"""What a declaration says of triggers and of the agents that they set to work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.digests import digest_matches
from apps.access.errors import InputError
from apps.agents.bell import ring_agents
from apps.triggers.models import Trigger
from apps.triggers.schedules import schedule_checked
from apps.triggers.services.secrets import PURPOSE, secret_digest
from deploypanel.declaration.document import closest
from deploypanel.declaration.fields import (
    KEPT,
    Boolean,
    Field,
    Integer,
    Reference,
    References,
    Secret,
    Text,
)
from deploypanel.declaration.script_text import ScriptText
from deploypanel.declaration.trigger_actions import Actions
from deploypanel.declaration.trigger_sources import Ends, Pushes

if TYPE_CHECKING:
    from django.db import models

    from deploypanel.declaration.document import Value
    from deploypanel.declaration.fields import Names, Objects

MOST_FIRINGS, MOST_SECONDS = 1_000_000, 7 * 24 * 3600


class TriggerName(Text):
    """Old clients may make a trigger of no name at all; a file cannot say which one it means then."""

    def check(self, plain: Any, value: Value, model: type[models.Model], names: Names) -> None:
        super().check(plain, value, model, names)
        if not plain:
            names.problems.add(value, "cannot be empty")


class TriggerSecret(Secret):
    """Kept as a digest. Another one than before leaves the one before it good, until that is forgotten in the admin.

    Nothing takes both away: the trigger opens to the server-wide secret and to people only.
    """

    def check(self, plain: Any, value: Value, model: type[models.Model], names: Names) -> None:
        try:
            secret_digest(plain)
        except InputError as error:
            names.problems.add(value, str(error))

    def current(self, instance: models.Model) -> str:
        assert isinstance(instance, Trigger)
        return instance.secret_digest

    def differs(self, instance: models.Model, wanted: str) -> bool:
        assert isinstance(instance, Trigger)
        if wanted == KEPT:
            return False
        if not wanted:
            return bool(instance.secret_digest or instance.secret_digest_old)
        return not any(digest_matches((instance.secret_digest,), wanted, PURPOSE))

    def assign(self, instance: models.Model, wanted: str, objects: Objects) -> None:
        assert isinstance(instance, Trigger)
        former = instance.secret_digest if wanted else ""
        instance.secret_digest, instance.secret_digest_old = secret_digest(wanted) if wanted else "", former
        # Settings are saved without it: work may have moved it since the row was read.
        Trigger.objects.filter(pk=instance.pk).update(
            secret_digest=instance.secret_digest, secret_digest_old=instance.secret_digest_old
        )

    def write(self, instance: models.Model) -> str | None:
        assert isinstance(instance, Trigger)
        return KEPT if instance.secret_digest else None


class RateLimit(Field):
    """`{firings: 10, seconds: 60}`; nothing: as many as come."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> dict[str, int] | None:
        items = value.items(names.problems)
        bounds = {"firings": MOST_FIRINGS, "seconds": MOST_SECONDS}
        found: dict[str, int] = {}
        for key, item in items.items():
            if key not in bounds:
                names.problems.add(item, f"no such key{closest(key, bounds)}")
                continue
            number = item.integer(names.problems)
            if number is not None and not 1 <= number <= bounds[key]:
                names.problems.add(item, f"give a number from 1 to {bounds[key]}")
            found[key] = number or 0
        if value.kind == "a mapping" and "firings" not in items:
            names.problems.add(value, "firings is missing")
        return {"firings": found.get("firings", 0), "seconds": found.get("seconds", 60)}

    def check(self, plain: Any, value: Value, model: type[models.Model], names: Names) -> None:
        """`parse` has."""

    def default(self, model: type[models.Model], value: Value, names: Names) -> None:
        """Nothing is no limit."""

    def current(self, instance: models.Model) -> dict[str, int] | None:
        assert isinstance(instance, Trigger)
        if instance.rate_limit is None:
            return None
        return {"firings": instance.rate_limit, "seconds": instance.rate_seconds}

    def assign(self, instance: models.Model, wanted: dict[str, int] | None, objects: Objects) -> None:
        assert isinstance(instance, Trigger)
        instance.rate_limit = wanted["firings"] if wanted else None
        instance.rate_seconds = wanted["seconds"] if wanted else instance.rate_seconds

    def show(self, plain: dict[str, int] | None) -> str:
        return f"{plain['firings']} in {plain['seconds']} s" if plain else "nothing"


class Schedule(Text):
    """When it fires by itself, as cron has it. The clock sees to the next time by itself."""

    def parse(self, value: Value, model: type[models.Model], names: Names) -> str | None:
        text = super().parse(value, model, names)
        try:
            return schedule_checked(text, "") if text else text
        except InputError as error:
            names.problems.add(value, str(error))
            return text


class AgentSwitch(Boolean):
    """An agent that is switched on hears at once of what waits for it."""

    def assign(self, instance: models.Model, wanted: Any, objects: Objects) -> None:
        super().assign(instance, wanted, objects)
        ring_agents()


AGENT = (
    Text(key="name", required=True),
    AgentSwitch(key="enabled"),
    Text(key="note"),
)

TRIGGER = (
    TriggerName(key="name", required=True),
    Boolean(key="enabled"),
    TriggerSecret(key="secret", attribute="secret_digest", late=True),
    Text(key="concurrency"),
    Reference(key="hours", section="business_hours", noun="calendar of business hours"),
    Text(key="when_closed"),
    RateLimit(key="rate_limit"),
    Reference(key="act_as", section="users", noun="user"),
    Pushes(key="on_push", late=True),
    Ends(key="after", late=True),
    Schedule(key="schedule"),
    Actions(key="does", late=True),
    References(key="agents", section="agents", noun="agent"),
    ScriptText(key="build_script", attribute="script"),
    Integer(key="max_age"),
    Integer(key="time_limit"),
    Integer(key="silence_limit"),
)
