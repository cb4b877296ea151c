"""A multi-node repository in memory: an extra node with many pipes that write to the master."""

from __future__ import annotations

import json

from bench.sesam_site import EXTRAS, PIPES

EXTRA, TEMPLATES = "extra", "extra_nodes/extra/"
_REPLICA = {
    "type": "pipe",
    "source": {"type": "##INBOUND_PARENT_PIPE.source.type##", "system": "other", "url": "/publishers/##REPLACE_ID##"},
    "transform": "##INBOUND_PARENT_PIPE.transform##",
    "pump": {"schedule_interval": "##OUTBOUND_PARENT_PIPE.pump.schedule_interval##"},
    "metadata": {"inbound": "##INBOUND_PARENT_PIPE._id##", "outbound": "##OUTBOUND_PARENT_PIPE._id##"},
}
_SYSTEM = {"_id": "##REPLACE_ID##-system", "type": "system:url", "url_pattern": "https://##REPLACE_ID##.example/%s"}


def files() -> dict[str, bytes]:
    """`PIPES` pipes in all, of which `EXTRAS` belong to the extra node and feed one of the master's each."""
    found: dict[str, object] = {}
    for number in range(PIPES):
        name = f"pipe-{number}"
        pipe = {
            "_id": name,
            "type": "pipe",
            "source": {"type": "dataset", "dataset": f"pipe-{number - EXTRAS}"},
            "transform": {"type": "dtl", "rules": {"default": [["copy", "*"]]}},
            "pump": {"schedule_interval": 30},
        }
        if number < EXTRAS:
            pipe |= {"metadata": {"node": EXTRA}, "source": {"type": "sql", "system": "base", "table": name}}
        elif number >= 2 * EXTRAS:
            pipe["source"] = {"type": "dataset", "dataset": "start"}
        found[f"node/pipes/{name}.conf.json"] = pipe
    for here, there in (("extra", "master"), ("master", "extra")):
        for place in ("extra", "master"):
            head = f"{TEMPLATES}{{}}_on_{place}_from_{here}_to_{there}.json"
            found[head.format("pipe")] = _REPLICA | {"_id": f"##REPLACE_ID##-on-{place}"}
            found[head.format("system")] = _SYSTEM
    return {path: json.dumps(value).encode() for path, value in found.items()}
