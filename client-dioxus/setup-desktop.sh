#!/usr/bin/env bash
# Installs what the desktop program is built with: WebKitGTK and what it needs, about 100 Debian packages.
set -euo pipefail
packages=(libwebkit2gtk-4.1-dev libxdo-dev)
dpkg -s "${packages[@]}" >/dev/null 2>&1 && exit 0
echo "installing: ${packages[*]}"
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo -n)
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=900 \
    install -y -qq --no-install-recommends "${packages[@]}"
