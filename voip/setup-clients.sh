#!/usr/bin/env bash
# Installs LiveKit's own clients at exact versions for the tests of calls, outside the repository. Quick when
# done. Needs python3-venv, nodejs, npm and chromium (deploy/setup.sh --tests).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)/tests/clients
cache=${XDG_CACHE_HOME:-$HOME/.cache}/kith/calls

# A folder for each version of the lists and interpreters, complete as soon as it has its last name.
install() { # install NAME LIST COMMAND: the command fills the folder that is its argument
    local name=$1 list=$2 command=$3
    local folder version
    version=$({ cat "$list"; python3 -V; node -v; } | sha256sum | cut -c 1-16)
    folder=$cache/$name-$version
    if [ ! -d "$folder" ]; then
        echo "installing $name for the tests of calls"
        rm -rf "$folder.new"
        mkdir -p "$folder.new"
        "$command" "$folder.new"
        mv "$folder.new" "$folder"
    fi
    ln -sfn "$name-$version" "$cache/$name"
}

# A virtual environment does not survive its folder's renaming; packages in a folder do.
install_python() {
    python3 -m venv "$1/venv"
    "$1/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile \
        --target "$1/packages" --no-deps -r "$here/python/requirements.txt"
    rm -rf "$1/venv"
}

install_js() {
    cp "$here/js/package.json" "$here/js/package-lock.json" "$here/js/.npmrc" "$1/"
    (cd "$1" && npm ci --ignore-scripts --loglevel=error)
}

install python "$here/python/requirements.txt" install_python
install js "$here/js/package-lock.json" install_js
