"""What a fake Sesam node holds, and what it thinks of configurations. Standard library only."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import threading
import time
import zipfile
from pathlib import Path
from typing import Any

METADATA = "node-metadata.conf.json"
FOLDERS = {"pipe": "pipes", "system": "systems"}
PROPERTIES = {
    "_id", "type", "source", "sink", "transform", "pump", "metadata", "description", "comment", "name", "enabled",
    "add_namespaces", "namespaced_identifiers", "namespaces", "batch_size", "compaction", "url_pattern", "verify_ssl",
    "authentication", "username", "password", "host", "port", "database", "operations", "headers", "jwt_token",
    "docker", "task_manager", "global_defaults", "exclude_completeness", "reprocessing_policy", "remove_namespaces",
    "initial_datasets",
}  # fmt: skip

Json = Any


class Invalid(Exception):
    """A configuration that the node does not take."""

    def __init__(self, errors: list[dict[str, Json]]) -> None:
        super().__init__(errors)
        self.errors = errors


def kind_of(entity: Json) -> str:
    return str(entity.get("type", "")).partition(":")[0] if isinstance(entity, dict) else ""


def group_of(entity: dict[str, Json]) -> str:
    metadata = entity.get("metadata")
    return str(metadata.get("$config-group") or "default") if isinstance(metadata, dict) else "default"


def file_name(entity: dict[str, Json]) -> str:
    if kind_of(entity) == "metadata":
        return METADATA
    return f"{FOLDERS[kind_of(entity)]}/{entity['_id']}.conf.json"


def canonical_text(entity: dict[str, Json]) -> str:
    """`_id` and `type` first, then what the thing is made of, then the rest."""
    order = ("_id", "type", "source", "transform", "sink", "pump")
    first = {key: entity[key] for key in order if key in entity}
    return json.dumps(first | {key: entity[key] for key in sorted(entity) if key not in first}, indent=2)


class NodeStore:
    """Entities, variables, secrets, files it does not understand; optionally kept in a file over restarts."""

    def __init__(self, state: Path | None = None) -> None:
        self.entities: dict[str, dict[str, Json]] = {}
        self.variables: dict[str, Json] = {}
        self.secrets: dict[str, str] = {}
        self.system_secrets: dict[str, dict[str, str]] = {}
        self.unknown: dict[str, bytes] = {}
        self.changed_at: dict[str, float] = {}  # by id; time.monotonic
        self.refuse_unknown_properties = False
        self.lock = threading.RLock()
        self._state = state
        if state is not None and state.exists():
            self._load(json.loads(state.read_text()))

    def _load(self, kept: dict[str, Json]) -> None:
        self.entities, self.variables = kept["entities"], kept["variables"]
        self.secrets, self.system_secrets = kept["secrets"], kept["system_secrets"]
        self.unknown = {name: base64.b64decode(data) for name, data in kept["unknown"].items()}

    def save(self) -> None:
        """A new file takes the old one's place, so a kill leaves the one or the other."""
        if self._state is None:
            return
        kept = {
            "entities": self.entities,
            "variables": self.variables,
            "secrets": self.secrets,
            "system_secrets": self.system_secrets,
            "unknown": {name: base64.b64encode(data).decode() for name, data in self.unknown.items()},
        }
        fresh = self._state.with_suffix(f".{os.getpid()}.{threading.get_ident()}")
        with fresh.open("w") as file:
            json.dump(kept, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._state)

    # Reading

    def of_group(self, group: str) -> list[dict[str, Json]]:
        """All entities; with a group its own, without the node's metadata."""
        if not group:
            return list(self.entities.values())
        return [one for one in self.entities.values() if kind_of(one) != "metadata" and group_of(one) == group]

    def digest(self, group: str) -> str:
        text = json.dumps([self.of_group(group), sorted(self.unknown)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def zipped(self, group: str) -> bytes:
        """In no particular order, with the time of now: nobody may rely on the zip's bytes."""
        buffer = io.BytesIO()
        files = {file_name(one): json.dumps(one, indent=2).encode() for one in self.of_group(group)}
        files |= {} if group else {f"unknown/{name}": data for name, data in self.unknown.items()}
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name in sorted(files, key=lambda one: hashlib.sha1(f"{one}{time.monotonic_ns()}".encode()).digest()):
                archive.writestr(zipfile.ZipInfo(name, time.gmtime()[:6]), files[name], zipfile.ZIP_DEFLATED)
        return buffer.getvalue()

    # Writing

    def replace(self, posted: list[Json], group: str, force: bool, unknown: dict[str, bytes]) -> None:
        """All of it, or nothing: raises `Invalid` with everything it does not like."""
        errors = self.problems(posted, group)
        if errors and not (force and all(isinstance(one, dict) and one.get("_id") for one in posted)):
            raise Invalid(errors)
        if group:
            posted = [_placed(one, group) for one in posted]
        fresh = {str(one["_id"]): one for one in posted}
        gone = {str(one["_id"]) for one in self.of_group(group)} - set(fresh)
        now = time.monotonic()
        for name, entity in fresh.items():
            if self.entities.get(name) != entity:
                self.changed_at[name] = now
        kept = {name: one for name, one in self.entities.items() if name not in gone} if group else {}
        # In place: who holds the dictionary sees what the node holds.
        final = kept | fresh
        self.entities.clear()
        self.entities.update(final)
        if not group:
            self.unknown = unknown
        self.save()

    def problems(self, posted: list[Json], group: str) -> list[dict[str, Json]]:
        seen: set[str] = set()
        errors = []
        for entity in posted:
            wrong = self._wrong(entity, group)
            name = entity.get("_id") if isinstance(entity, dict) else None
            if isinstance(name, str):
                if name in seen:
                    wrong.append(("There are two entities with this _id.", ["_id"]))
                seen.add(name)
            if wrong:
                told = [{"level": "error", "msg": msg, "elements": elements} for msg, elements in wrong]
                errors.append({"posted-config": entity, "config-errors": told})
        return errors

    def _wrong(self, entity: Json, group: str) -> list[tuple[str, list[str]]]:
        if not isinstance(entity, dict):
            return [("An entity must be an object.", [])]
        wrong: list[tuple[str, list[str]]] = []
        if not isinstance(entity.get("_id"), str) or not entity["_id"]:
            wrong.append(("The _id is missing.", ["_id"]))
        kind = kind_of(entity)
        if "type" not in entity:
            wrong.append(("The type is missing.", ["type"]))
        elif kind not in {"pipe", "system", "metadata"}:
            wrong.append((f"Unknown type: {entity['type']!r}.", ["type"]))
        if kind == "pipe" and not isinstance(entity.get("source"), dict):
            wrong.append(("A pipe needs a source.", ["source"]))
        wrong += self._wrong_properties(entity)
        return wrong + self._wrong_group(entity, group)

    def _wrong_properties(self, entity: dict[str, Json]) -> list[tuple[str, list[str]]]:
        if not self.refuse_unknown_properties:
            return []
        return [(f"Unknown property: {name!r}.", [name]) for name in sorted(set(entity) - PROPERTIES)]

    def _wrong_group(self, entity: dict[str, Json], group: str) -> list[tuple[str, list[str]]]:
        if not group:
            return []
        if kind_of(entity) == "metadata":
            return [("Node metadata belongs to no configuration group.", ["type"])]
        own = group_of(entity)
        if own not in {group, "default"}:
            return [(f"It belongs to the configuration group {own!r}.", ["metadata", "$config-group"])]
        there = self.entities.get(str(entity.get("_id")))
        if there is not None and group_of(there) != group:
            return [(f"The configuration group {group_of(there)!r} has this _id already.", ["_id"])]
        return []


def _placed(entity: dict[str, Json], group: str) -> dict[str, Json]:
    return entity | {"metadata": entity.get("metadata", {}) | {"$config-group": group}}


def files_read(data: bytes) -> tuple[list[Json], dict[str, bytes]]:
    """The entities of a posted zip, and the files that are none. Raises `Invalid`."""
    entities, unknown, errors = [], {}, []
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile:
        raise Invalid([_error({}, "The file is no zip.", [])]) from None
    for name in archive.namelist():
        if name.endswith("/"):
            continue
        content = archive.read(name)
        if name != METADATA and not (name.startswith(("pipes/", "systems/")) and name.endswith(".conf.json")):
            unknown[name.removeprefix("unknown/")] = content
            continue
        try:
            found = json.loads(content)
        except ValueError as problem:
            errors.append(_error({"file": name}, f"{name} is no JSON: {problem}", []))
            continue
        entities += found if isinstance(found, list) else [found]
    if errors:
        raise Invalid(errors)
    return entities, unknown


def _error(posted: Json, msg: str, elements: list[str]) -> dict[str, Json]:
    return {"posted-config": posted, "config-errors": [{"level": "error", "msg": msg, "elements": elements}]}
