"""`python -m bench [SECTION …]`: prints each figure beside its baseline; exit 1 when a limit is missed."""

from __future__ import annotations

import argparse
import sys

from bench import agents, deployments, hooks, live, sesam, soak, triggers
from bench.table import Table

SECTIONS = {
    "deployments": deployments.measure,
    "live": live.measure,
    "hooks": hooks.measure,
    "sesam": sesam.measure,
    "triggers": triggers.measure,
    "agents": agents.measure,
    "soak": soak.measure,
}
LONG = {"soak"}  # many minutes: only when it is named


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    words = f"any of {', '.join(SECTIONS)}; default: all but {', '.join(LONG)}"
    parser.add_argument("sections", nargs="*", metavar="section", help=words)
    wanted = parser.parse_args().sections or [name for name in SECTIONS if name not in LONG]
    if unknown := set(wanted) - set(SECTIONS):
        parser.error(f"no section is called {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    table = Table()
    for name in wanted:
        SECTIONS[name](table)
    print(f"\n{len(table.missed)} limits missed" if table.missed else "\nevery limit was held")
    return 1 if table.missed else 0


if __name__ == "__main__":
    sys.exit(main())
