# Sourced by the scripts that install other people's clients for tests. `$cache` is where to.

# A folder for each version of the files and interpreters, complete as soon as it has its last name.
install() { # install NAME COMMAND FILE...: the command makes of the files what the folder, its argument, is to hold
    local name=$1 command=$2
    shift 2
    local folder version
    version=$({ cat "$@"; python3 -V; node -v; } | sha256sum | cut -c 1-16)
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
install_packages() { # install_packages REQUIREMENTS FOLDER
    python3 -m venv "$2/venv"
    "$2/venv/bin/pip" install --quiet --disable-pip-version-check --no-compile \
        --target "$2/packages" --no-deps -r "$1"
    rm -rf "$2/venv"
}

install_modules() { # install_modules SOURCE FOLDER: by the lock file in SOURCE
    cp "$1/package.json" "$1/package-lock.json" "$1/.npmrc" "$2/"
    (cd "$2" && npm ci --ignore-scripts --loglevel=error)
}
