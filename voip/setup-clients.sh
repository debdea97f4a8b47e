#!/usr/bin/env bash
# Installs LiveKit's own clients at exact versions for the tests of calls, outside the repository. Quick when
# done. Needs python3-venv, nodejs, npm and chromium (deploy/setup.sh --tests).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kith/calls
. "$here/../deploy/install-clients.sh"
clients=$here/tests/clients

python() { install_packages "$clients/python/requirements.txt" "$1"; }
js() { install_modules "$clients/js" "$1"; }

install python python "$clients/python/requirements.txt"
install js js "$clients/js/package-lock.json"
