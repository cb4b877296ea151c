#!/bin/sh
# Starts the demo's agent as on any other machine, but in its own folder: agent.sh FOLDER PYTHON
cd "$1" || exit 1
if [ -f code ]; then
    DEPLOYPANEL_AGENT_CODE=$(cat code)
    export DEPLOYPANEL_AGENT_CODE
fi
# The panel may listen at an address of this machine that is not loopback.
DEPLOYPANEL_AGENT_INSECURE_HTTP=1 exec "$2" deploypanel-agent.pyz --config config.yaml run
