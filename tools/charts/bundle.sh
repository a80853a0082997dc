#!/usr/bin/env bash
# Bundle the chart library of the pages, with its licences and checksum. Needs node and npm.
# usage: tools/charts/bundle.sh FOLDER_TO_WRITE
set -euo pipefail
target=$(mkdir -p "$1" && cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$(dirname "$0")"/{entry.js,package.json,package-lock.json} "$work"
cd "$work"
npm ci --no-audit --no-fund --silent --ignore-scripts
npx esbuild entry.js --bundle --minify --format=iife --global-name=echarts --target=es2020 \
  --legal-comments=none --log-level=warning \
  --banner:js="/* Apache ECharts 6.1.0, parts of it; licences beside this file: echarts.LICENSE.txt */" \
  --outfile="$target/echarts.min.js"
{
  cat node_modules/echarts/NOTICE
  for part in echarts/LICENSE echarts/licenses/LICENSE-d3 zrender/LICENSE tslib/LICENSE.txt; do
    printf '\n\n==== %s ====\n\n' "$part"
    cat "node_modules/$part"
  done
} > "$target/echarts.LICENSE.txt"
cd "$target" && sha256sum echarts.min.js > echarts.min.js.sha256
