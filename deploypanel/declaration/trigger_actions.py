"""What a firing does, as a file says it: `does: [{deploy: shop/prod}, {script: restart.yaml, hosts: [web1]}]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.access.errors import InputError
from apps.triggers.models import Action
from apps.triggers.rules import pointer_checked, rule_checked
from deploypanel.declaration.fields import named, natural
from deploypanel.declaration.json_values import json_value
from deploypanel.declaration.script_text import script_read, script_written
from deploypanel.declaration.trigger_sources import Row, Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.db import models

    from deploypanel.declaration.document import Value
    from deploypanel.declaration.fields import Names, Objects

DOES = ("agents", "deploy", "sync", "script")
# Which further keys an item may have, by what it does.
BESIDE = {"agents": (), "deploy": ("commit_from",), "sync": ("commit_from",), "script": ("hosts", "cluster")}


class Actions(Rows):
    """In this order. An action that stays keeps its row, so that firings that wait for it find it."""

    allowed = (*DOES, "commit_from", "hosts", "cluster", "when")

    def order(self, rows: list[Row]) -> list[Row]:
        return rows

    def read_row(self, items: dict[str, Value], value: Value, names: Names) -> Row | None:
        said = [key for key in DOES if key in items]
        if len(said) != 1:
            names.problems.add(value, f"an item does one of {', '.join(DOES)}")
            return None
        (does,) = said
        for key in items.keys() - {does, "when", *BESIDE[does]}:
            names.problems.add(items[key], f"{does} takes no {key}")
        row = _READS[does](items, names)
        return row | {"when": _rule(items["when"], names) if "when" in items else None}

    def stored(self, instance: models.Model) -> Sequence[tuple[Action, Row]]:
        rows = Action.objects.filter(trigger_id=instance.pk).select_related("environment", "node", "cluster")
        return [(row, _action(row)) for row in rows.prefetch_related("hosts").order_by("position", "pk")]

    def assign(self, instance: models.Model, wanted: list[Row], objects: Objects) -> None:
        stored = self.stored(instance)
        free = {action.pk: row for action, row in stored}
        by_pk = {action.pk: action for action, _ in stored}
        # First those that stay as they are, then those of the same target.
        chosen: dict[int, Action] = {}
        for same in (_equal, _alike):
            for place, wish in enumerate(wanted):
                found = next((pk for pk, row in free.items() if place not in chosen and same(row, wish)), None)
                if found is not None:
                    chosen[place] = by_pk[found]
                    del free[found]
        for pk in free:
            by_pk[pk].delete()
        for place, wish in enumerate(wanted):
            _set(chosen.get(place) or Action(trigger_id=instance.pk), place, wish, objects)

    def words(self, row: Row) -> str:
        kind = next(key for key in DOES if key in row)
        if kind == "agents":
            words = "agents"
        elif kind == "script":
            where = [*row["hosts"], *([row["cluster"]] if row["cluster"] else [])]
            words = f"script of {len(row['script'].splitlines())} lines on {' '.join(where)}"
        else:
            words = f"{kind} {row[kind]}"
        return f"{words} when {row['when']}" if row["when"] is not None else words

    def write(self, instance: models.Model) -> Any:
        rows: list[Row] = super().write(instance)
        return [row | ({"script": script_written(row["script"])} if "script" in row else {}) for row in rows]


def _agents(items: dict[str, Value], names: Names) -> Row:
    if items["agents"].boolean(names.problems) is False:
        names.problems.add(items["agents"], "leave the item out where agents are to do nothing")
    return {"agents": True}


def _deploy(items: dict[str, Value], names: Names) -> Row:
    path = named(items["deploy"], "environments", "environment", names)
    return {"deploy": path, "commit_from": _pointer(items.get("commit_from"), names)}


def _sync(items: dict[str, Value], names: Names) -> Row:
    path = named(items["sync"], "nodes", "node", names)
    return {"sync": path, "commit_from": _pointer(items.get("commit_from"), names)}


def _script(items: dict[str, Value], names: Names) -> Row:
    hosts, cluster = items.get("hosts"), items.get("cluster")
    named_hosts = [named(one, "hosts", "host", names) for one in hosts.elements(names.problems)] if hosts else []
    if cluster is not None and cluster.is_nothing:
        cluster = None
    if not named_hosts and cluster is None:
        names.problems.add(hosts or items["script"], "say where it runs: hosts: [web1], or cluster: blue")
    return {
        "script": (script_read(items["script"], names) or "").strip(),
        "hosts": sorted({name for name in named_hosts if name}),
        "cluster": named(cluster, "clusters", "cluster", names) if cluster else None,
    }


_READS = {"agents": _agents, "deploy": _deploy, "sync": _sync, "script": _script}


def _pointer(value: Value | None, names: Names) -> str:
    if value is None or value.is_nothing:
        return ""
    text = value.text(names.problems)
    try:
        pointer_checked(text or "")
        if len(text or "") > _LONGEST_POINTER:
            raise InputError(f"a pointer has at most {_LONGEST_POINTER} characters")
    except InputError as error:
        names.problems.add(value, str(error))
    return text or ""


_LONGEST_POINTER = Action._meta.get_field("commit_from").max_length or 0


def _rule(value: Value, names: Names) -> Any:
    before = len(names.problems.found)
    rule = json_value(value, names.problems)
    if rule is None or len(names.problems.found) > before:
        return None
    try:
        rule_checked(rule)
    except InputError as error:
        names.problems.add(value, str(error))
    return rule


def _action(row: Action) -> Row:
    """The row as `read_row` would have read it."""
    found: Row
    if row.kind == Action.Kind.AGENTS:
        found = {"agents": True}
    elif row.kind == Action.Kind.SCRIPT:
        hosts = sorted(host.name for host in row.hosts.all())
        found = {"script": row.script.strip(), "hosts": hosts, "cluster": row.cluster.name if row.cluster else None}
    else:
        target = row.environment or row.node
        found = {str(row.kind): natural(target) if target else "", "commit_from": row.commit_from}
    return found | {"when": row.when}


def _set(row: Action, place: int, wish: Row, objects: Objects) -> None:
    """Make the row what the file says, and save it where that is something else."""
    kind = next(key for key in DOES if key in wish)
    if row.pk and row.position == place and _equal(_action(row), wish):
        return
    row.kind, row.position, row.when = kind, place, wish["when"]
    row.commit_from = wish.get("commit_from", "")
    row.script = wish.get("script", "")
    row.environment = objects.named("environments", wish["deploy"]) if kind == "deploy" else None  # type: ignore[assignment]
    row.node = objects.named("nodes", wish["sync"]) if kind == "sync" else None  # type: ignore[assignment]
    cluster = wish.get("cluster")
    row.cluster = objects.named("clusters", cluster) if cluster else None  # type: ignore[assignment]
    row.save()
    row.hosts.set([objects.named("hosts", name) for name in wish.get("hosts", ())])  # type: ignore[misc]


def _equal(one: Row, other: Row) -> bool:
    return one == other


def _alike(one: Row, other: Row) -> bool:
    """The same thing to the same target, be it under another rule."""
    return any(key in one and key in other and (key in {"agents", "script"} or one[key] == other[key]) for key in DOES)
