"""A multi-node repository as tests see it: files by path, from a few lines of Python."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from apps.sesam.expansion import Expansion, ExtraSpec, expand
from apps.sesam.source import Source, SourceSettings, source_read

TEMPLATES = "extra_nodes/eidsiva/"
MASTER = "datahub"


def pipe(name: str, *, reads: Iterable[str] = (), writes: str = "", node: str = "", **more: Any) -> dict[str, Any]:
    """A pipe entity: of the extra node `node`, reading those datasets, writing that one."""
    datasets = list(reads)
    value: dict[str, Any] = {"_id": name, "type": "pipe"}
    if len(datasets) == 1:
        value["source"] = {"type": "dataset", "dataset": datasets[0]}
    elif datasets:
        value["source"] = {"type": "merge", "datasets": [f"{dataset} d{n}" for n, dataset in enumerate(datasets)]}
    value |= {"sink": {"type": "dataset", "dataset": writes}} if writes else {}
    value |= {"metadata": {"node": node}} if node else {}
    return value | more


def system(name: str, *, node: str = "", **more: Any) -> dict[str, Any]:
    value = {"_id": name, "type": "system:url", "url_pattern": "$ENV(base)/%s"}
    return value | ({"metadata": {"node": node}} if node else {}) | more


def repository_files(
    entities: Iterable[Mapping[str, Any]],
    templates: Mapping[str, Any] | None = None,
    *,
    environment: str = "test",
    variables: Mapping[str, Any] | None = None,
    folder: str = TEMPLATES,
    root: str = "",
) -> dict[str, bytes]:
    """Everything whitelisted, as files. Template names go without `.json`."""
    files: dict[str, Any] = {}
    for entity in entities:
        home = {"pipe": "pipes/", "metadata": ""}.get(entity["type"].partition(":")[0], "systems/")
        name = "node-metadata" if entity["type"] == "metadata" else entity["_id"]
        files[f"node/{home}{name}.conf.json"] = entity
    whitelist = "\n".join(path.removeprefix("node/") for path in files)
    files[f"node/variables/variables-{environment}.json"] = dict(variables or {"base": "https://base"})
    files |= {
        f"{folder}{name}.json".replace("-metadata.json", "-metadata.conf.json"): template
        for name, template in (templates or {}).items()
    }
    packed = {path: json.dumps(value, indent=1).encode() for path, value in files.items()}
    packed[f"node/deployment/whitelist-{environment}.txt"] = whitelist.encode()
    return {f"{root}{path}": data for path, data in packed.items()}


def source_of(files: Mapping[str, bytes], **settings: Any) -> Source:
    return source_read(files, SourceSettings(**({"layout": "multi", "environment": "test"} | settings)))


def expanded(
    entities: Iterable[Mapping[str, Any]],
    templates: Mapping[str, Any] | None = None,
    *,
    extras: Iterable[ExtraSpec] = (),
    proxy: bool = False,
    variables: Mapping[str, Any] | None = None,
) -> Expansion:
    """Shares of these entities for one extra node `eidsiva`, or for `extras`."""
    source = source_of(repository_files(entities, templates, variables=variables))
    assert not source.errors, source.errors
    chosen = list(extras) or [ExtraSpec(name="eidsiva", template_path=TEMPLATES, proxy=proxy)]
    return expand(source, master_name=MASTER, extras=chosen, ci=False)


def ids(expansion: Expansion, node: str = "") -> list[str]:
    return list(expansion.shares[node].entities)


def told(expansion: Expansion) -> list[str]:
    """The problems as sentences, an error with a `!` before it."""
    return [f"{'! ' if problem.is_error else ''}{problem}" for problem in expansion.problems]
