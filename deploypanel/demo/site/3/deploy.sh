#!/bin/sh
# Runs on each host, in the new release: deploy.sh ENVIRONMENT HOST COMMIT
set -eu
environment=$1 host=$2 commit=$3
echo "Warming up $environment"
for step in pages images search; do
    echo "  $step"
    sleep 0.2
done
echo "$host serves $commit now"
