#!/usr/bin/env bash
# Install Chromium where there is no browser (Debian or Ubuntu, as root), to look at the report as a reader does.
set -euo pipefail

for browser in chromium chromium-browser google-chrome; do
    if command -v $browser >/dev/null; then exit 0; fi
done
[ "$(id -u)" = 0 ] || { echo "chromium-up: must run as root, or install chromium yourself" >&2; exit 1; }
command -v apt-get >/dev/null || { echo "chromium-up: knows Debian and Ubuntu alone" >&2; exit 1; }
echo "chromium-up: installing Chromium"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends chromium >/dev/null
