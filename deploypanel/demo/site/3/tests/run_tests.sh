#!/bin/sh
# Runs on each host after the switch: run_tests.sh ENVIRONMENT HOST BRANCH COMMIT
set -eu
grep -q "commit $4" public/index.html || { echo "the page does not show commit $4" >&2; exit 1; }
echo "ok: the page on $2 shows commit $4"
