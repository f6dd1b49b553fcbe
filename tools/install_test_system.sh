#!/bin/sh
# Installs the Debian packages of tests/system-packages.txt. Needs root; asks first unless CI=true.
set -eu
list=$(sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' tests/system-packages.txt)
missing=""
while read -r package program; do
    if [ -n "$program" ] && command -v "$program" >/dev/null; then
        continue
    fi
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing="$missing $package"
done <<END
$list
END
if [ -z "$missing" ]; then
    echo "all packages of tests/system-packages.txt are there"
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "run as root to install:$missing" >&2
    exit 1
fi
if [ "${CI:-}" != true ]; then
    printf 'install%s with apt-get? [y/N] ' "$missing"
    read -r answer
    [ "$answer" = y ] || exit 1
fi
apt-get update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing
