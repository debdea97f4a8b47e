#!/usr/bin/env bash
# Installs other people's Matrix clients at exact versions, outside the repository. Quick when done.
# Needs python3-venv, nodejs and npm (deploy/setup.sh --tests). matrix-js-sdk runs on a Node.js of its own, also
# from the npm registry.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)/tests/interop
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kith/interop

# A folder for each version of the lists and interpreters, complete as soon as it has its last name.
install() { # install NAME LIST COMMAND: the command fills the folder that is its argument
    local name=$1 list=$2 command=$3
    local folder version
    version=$({ cat "$list"; python3 -V; node -v; } | sha256sum | cut -c 1-16)
    folder=$cache/$name-$version
    if [ ! -d "$folder" ]; then
        echo "installing $name for the tests"
        rm -rf "$folder.new"
        mkdir -p "$folder.new"
        "$command" "$folder.new"
        mv "$folder.new" "$folder"
    fi
    ln -sfn "$name-$version" "$cache/$name"
}

# A virtual environment does not survive its folder's renaming; packages in a folder do.
install_nio() {
    python3 -m venv "$1/venv"
    "$1/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile \
        --target "$1/packages" --no-deps -r "$here/nio/requirements.txt"
    rm -rf "$1/venv"
}

install_js() {
    cp "$here/js/package.json" "$here/js/package-lock.json" "$here/js/.npmrc" "$1/"
    (cd "$1" && npm ci --ignore-scripts --loglevel=error)
}

install nio "$here/nio/requirements.txt" install_nio
# Another homeserver, with which ours federates.
install_synapse() {
    python3 -m venv "$1/venv"
    "$1/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile \
        --target "$1/packages" --no-deps -r "$here/../synapse/requirements.txt"
    rm -rf "$1/venv"
}

install synapse "$here/../synapse/requirements.txt" install_synapse
install js "$here/js/package-lock.json" install_js

install_tus() {
    cp "$here/../media/tus/package.json" "$here/../media/tus/package-lock.json" "$here/../media/tus/.npmrc" "$1/"
    (cd "$1" && npm ci --ignore-scripts --loglevel=error)
}

install tus "$here/../media/tus/package-lock.json" install_tus

# The code of Element Web, bundled for a browser. What it was made of is not kept.
install_element() {
    cp "$here"/../media/element/* "$here/../media/element/.npmrc" "$1/"
    (cd "$1" && npm ci --ignore-scripts --loglevel=error && node bundle.mjs bundle)
    find "$1/node_modules" -mindepth 1 -maxdepth 1 ! -name playwright-core -exec rm -rf {} +
}

install element "$here/../media/element/package-lock.json" install_element

# Playwright, which drives Debian's Chromium in the tests of the web client.
install_browser() {
    cp "$client/package.json" "$client/package-lock.json" "$client/.npmrc" "$1/"
    (cd "$1" && npm ci --ignore-scripts --loglevel=error)
}

client=$here/../../../client-dioxus/e2e
install browser "$client/package-lock.json" install_browser
