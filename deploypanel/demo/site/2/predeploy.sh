#!/bin/sh
# Runs on the panel's machine, in a clean tree of the commit: predeploy.sh ENVIRONMENT COMMIT
set -eu
environment=$1 commit=$2
echo "Building the page for $environment"
rows=""
while IFS=, read -r name price; do
    echo "  $name at $price"
    rows="$rows<tr><td>$name<td>$price"
    sleep 0.1
done <products.csv
sed -e "s|@PRODUCTS@|$rows|" -e "s|@ENVIRONMENT@|$environment|" -e "s|@COMMIT@|$commit|" page.html >public/index.html
echo "Built public/index.html ($(wc -c <public/index.html) bytes)"
