#!/bin/sh
# slither (0.11.6, on the PATH) over our sources, in var/: it cannot follow libraries that lie above forge's root.
# What it says, and our answer to each finding: docs/reference/slither.md.
set -eu
cd "$(dirname "$0")/../.."
rm -rf var/slither
mkdir -p var/slither/src var/slither/node_modules/@openzeppelin
cp ledger/contracts/*.sol var/slither/src/
cp -r node_modules/@openzeppelin/contracts var/slither/node_modules/@openzeppelin/
sed -e "s#^src = .*#src = 'src'#" -e "s#\.\./\.\./node_modules#node_modules#g" -e "s#\.\./\.\./var/forge#out#g" \
    -e "s#^out = .*#out = 'out'#" -e "s#^solc = .*#solc = '../../ledger/contracts/solc'#" \
    ledger/contracts/foundry.toml >var/slither/foundry.toml
PATH="$PWD/node_modules/@foundry-rs/forge-linux-amd64/bin:$PATH"
cd var/slither
exec slither . --filter-paths node_modules --fail-none "$@"
