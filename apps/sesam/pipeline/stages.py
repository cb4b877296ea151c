"""The names of the steps, as columns of a run's matrix."""

from __future__ import annotations

FETCH, SOURCE, EXPAND, VERIFY = "fetch", "source", "expand", "verify"
COMPARE, GUARD = "compare", "guard"
SNAPSHOT, SECRETS, VARIABLES, CONFIGURATION, READ_BACK = (
    "snapshot", "secrets", "variables", "configuration", "read back",
)  # fmt: skip
EXTRAS = "extra nodes"  # one row for each extra node
UNDO = "undo"

GIT = (FETCH, SOURCE, EXPAND, VERIFY)
WRITES = (SNAPSHOT, SECRETS, VARIABLES, CONFIGURATION, READ_BACK)
SYNCING = (*GIT, COMPARE, GUARD, *WRITES, EXTRAS)
RESTORING = (COMPARE, GUARD, *WRITES)
PLANNING = (*GIT, COMPARE, GUARD)
VERIFYING = GIT
