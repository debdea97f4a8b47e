#!/usr/bin/env bash
# Installs other people's Matrix clients at exact versions, outside the repository. Quick when done.
# Needs python3-venv, nodejs and npm (deploy/setup.sh --tests). matrix-js-sdk runs on a Node.js of its own, also
# from the npm registry.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kith/interop
. "$here/../deploy/install-clients.sh"
clients=$here/tests/interop
synapse=$here/tests/synapse
tus=$here/tests/media/tus
element=$here/tests/media/element
browser=$here/../client-dioxus/e2e

nio() { install_packages "$clients/nio/requirements.txt" "$1"; }
# Another homeserver, with which ours federates.
synapse() { install_packages "$synapse/requirements.txt" "$1"; }
js() { install_modules "$clients/js" "$1"; }
tus() { install_modules "$tus" "$1"; }

# Playwright, which drives Debian's Chromium in the tests of the web client.
browser() { install_modules "$browser" "$1"; }

# The code of Element Web, bundled for a browser. What it was made of is not kept.
element() {
    cp "$element/bundle.mjs" "$element/element.js" "$1/"
    install_modules "$element" "$1"
    (cd "$1" && node bundle.mjs bundle)
    find "$1/node_modules" -mindepth 1 -maxdepth 1 ! -name playwright-core -exec rm -rf {} +
}

install nio nio "$clients/nio/requirements.txt"
install synapse synapse "$synapse/requirements.txt"
install js js "$clients/js/package-lock.json"
install tus tus "$tus/package-lock.json"
install element element "$element/package-lock.json" "$element/bundle.mjs" "$element/element.js"
install browser browser "$browser/package-lock.json"
