"""The four rights on a subject, each implying those before it, and what each kind of subject calls them."""

from __future__ import annotations

import enum

from apps.access.errors import InputError


class Level(enum.IntEnum):
    """How much a person may do with one subject. Compare with `>=`."""

    NONE = 0
    VIEW = 1
    IN_HOURS = 2
    ACT = 3
    CONFIGURE = 4


# guardian's codenames on access.Subject
CODENAMES = {
    Level.VIEW: "view_subject",
    Level.IN_HOURS: "act_in_hours_subject",
    Level.ACT: "act_subject",
    Level.CONFIGURE: "configure_subject",
}

# The verb of a kind of subject: an environment is deployed, a node synced, a trigger fired.
VERBS = {"environment": "deploy", "repository": "fetch", "node": "sync", "trigger": "fire"}


def level_label(kind: str, level: Level) -> str:
    """The name of a right as people and files know it, such as `deploy_in_hours`."""
    verb = VERBS[kind]
    return {
        Level.NONE: "none",
        Level.VIEW: "view",
        Level.IN_HOURS: f"{verb}_in_hours",
        Level.ACT: verb,
        Level.CONFIGURE: "configure",
    }[level]


def level_named(kind: str, name: str) -> Level:
    """The right called `name` on that kind of subject; raises InputError with the names there are."""
    names = {level_label(kind, level): level for level in Level if level is not Level.NONE}
    try:
        return names[name]
    except KeyError:
        raise InputError(f"no right is called {name!r}; there are {', '.join(names)}") from None
