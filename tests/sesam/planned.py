"""Syncs as runs leave them behind, made without a run: two kept configurations, and what was found."""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.repos.models import Repository
from apps.runs.models import Cause, Run
from apps.runs.states import RunState
from apps.sesam.configuration import Configuration, Entity
from apps.sesam.models import Node, Sync
from apps.sesam.plan import plan_made
from apps.sesam.rules import Rules
from apps.sesam.storage import configuration_keep

COMMIT = "5f1c9e0d" * 5


def pipe(name: str, *, rules: int = 4, **fields: Any) -> dict[str, Any]:
    """A pipe as they look: a source, transformations, metadata."""
    steps: list[Any] = [["copy", "*"], ["add", "rdf:type", ["ni", "crm", "person"]]]
    steps += [["add", f"column_{number}", ["concat", ["_S.first", " ", f"_S.c{number}"]]] for number in range(rules)]
    return {
        "_id": name,
        "type": "pipe",
        "source": {"type": "dataset", "dataset": f"{name}-raw"},
        "transform": [{"type": "dtl", "rules": {"default": steps}}],
        "pump": {"schedule_interval": 3600},
        "metadata": {"owner": "integration"},
    } | fields


def system(name: str, **fields: Any) -> dict[str, Any]:
    return {"_id": name, "type": "system:url", "url_pattern": f"https://{name}.example/%s", "verify_ssl": True} | fields


def configuration(*values: dict[str, Any], folder: str = "", **fields: Any) -> Configuration:
    entities = {
        value["_id"]: Entity(
            id=value["_id"],
            value=value,
            file=f"{folder}{'systems' if value['type'].startswith('system') else 'pipes'}/{value['_id']}.conf.json"
            if folder
            else "",
        )
        for value in values
    }
    return Configuration(entities=entities, **fields)


def node_made(name: str = "dev", **fields: Any) -> Node:
    repository, _ = Repository.objects.get_or_create(name="conf", defaults={"url": "/nowhere/conf.git"})
    node = Node(name=name, url="https://dev.example/api", jwt="token", repository=repository, **fields)
    node.save()
    return node


def two_sides() -> tuple[Configuration, Configuration]:
    """What a node has, and what Git wants: every move is there."""
    customers = pipe("crm-customer", rules=14)
    changed = copy.deepcopy(customers)
    rules = changed["transform"][0]["rules"]["default"]
    rules[5] = ["add", "column_3", ["concat", ["_S.first", ", ", "_S.middle", " ", "_S.c3"]]]
    rules.insert(9, ["add", "age", ["integer", "_S.alder"]])
    del rules[12]
    changed["pump"] = {"cron_expression": "0 3 * * *"}
    query = "SELECT id, name, address FROM customer WHERE deleted = 0 AND updated > :since ORDER BY updated"
    older = pipe("erp-order", source={"type": "sql", "system": "erp", "query": query})
    newer = copy.deepcopy(older)
    newer["source"]["query"] = query.replace("address", "street, city").replace("deleted = 0", "active = 1")
    quiet = [pipe(f"unchanged-{number:02}") for number in range(30)]
    before = [
        customers, older, pipe("legacy-export"), system("erp"), system("watcher", secret=1), *quiet,
        system("tuned", timeout=30), {"_id": "node", "type": "metadata", "namespaces": {"default": {}}},
    ]  # fmt: skip
    wanted = [
        changed, newer, pipe("sap-invoice", rules=2), system("sap"), system("erp", url_pattern="https://erp2.example/%s"),
        *quiet, system("watcher"), system("tuned", timeout=60),
        {"_id": "node", "type": "metadata", "namespaces": {"default": {}}, "global_defaults": {"use_signalling": True}},
    ]  # fmt: skip
    return (
        configuration(
            *before, variables={"env": "test", "crm_url": "https://crm.example/v1", "old": 1}, secrets=frozenset({"a"})
        ),
        configuration(
            *wanted,
            folder="node/",
            variables={"env": "test", "crm_url": "https://crm.example/v2", "limits": {"rows": 500}},
            secrets=frozenset({"a", "sap-password"}),
        ),
    )


RULES = Rules(protected=frozenset({"watcher"}), ignore=("tuned#/timeout",))


def sync_made(node: Node, *, sides: tuple[Configuration, Configuration] | None = None, **fields: Any) -> Sync:
    """An ended plan of what lies between two sides, with its run."""
    before, wanted = sides if sides is not None else two_sides()
    rules, now = fields.pop("rules", RULES), timezone.now()
    state = fields.pop("state", RunState.SUCCEEDED)
    action, summary = fields.pop("action", "plan"), fields.pop("summary", "")
    ended = fields.pop("ended_at", now)
    run = Run.objects.create(
        kind=action, subject=node, subject_path=node.path, state=state, cause=Cause.PERSON, requested_name="owner",
        exclusive=action != "plan", summary=summary, time_limit=60, silence_limit=60, ended_at=ended,
    )  # fmt: skip
    counts = plan_made(before, wanted, rules).counts
    return Sync.objects.create(
        **{
            "run": run, "run_number": run.pk, "node": node, "node_name": node.name, "action": action, "state": state,
            "ref": "main", "commit": COMMIT, "commit_subject": "Move the customers to the new address",
            "commit_author": "Kari Nordmann", "previous_commit": "a1b2c3d4" * 5, "requested_name": "owner",
            "started_at": now - timedelta(seconds=4), "ended_at": ended, "rules": rules.as_json(), "counts": counts,
            "before": configuration_keep(before), "wanted": configuration_keep(wanted),
        }
        | fields
    )  # fmt: skip


def sync_started(node: Node, **fields: Any) -> Sync:
    """A plan whose run is at work."""
    now = timezone.now()
    run = Run.objects.create(
        kind="plan", subject=node, subject_path=node.path, state=RunState.RUNNING, cause=Cause.PERSON,
        requested_name="owner", exclusive=False, time_limit=60, silence_limit=60, started_at=now,
    )  # fmt: skip
    return Sync.objects.create(
        **{
            "run": run, "run_number": run.pk, "node": node, "node_name": node.name, "action": "plan",
            "state": RunState.RUNNING, "ref": "main", "requested_name": "owner", "started_at": now,
        }
        | fields
    )  # fmt: skip
