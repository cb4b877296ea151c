"""`python -m deploypanel_agent`, and the first thing that runs in the built file."""

import sys

from deploypanel_agent.cli import main

if __name__ == "__main__":
    sys.exit(main())
