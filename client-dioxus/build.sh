#!/usr/bin/env bash
# Makes the web client's folder.
#   build.sh release    small, for the world: target/release/web-client, where `make run` finds it
#   build.sh quick      soon there, for tests: target/debug/web-client
# The last line of its output is the folder.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/.."
target=${CARGO_TARGET_DIR:-target}
kind=${1:-release}
# Make's, which Cargo would take for its own.
unset MAKEFLAGS MFLAGS
case $kind in
    release) out=$target/release/web-client quick=() ;;
    quick) out=$target/debug/web-client quick=(--quick) ;;
    *) echo "build.sh release | quick" >&2; exit 2 ;;
esac

toolchain=$("$here/toolchain.sh")
cargo ${toolchain:+"+$toolchain"} build --locked --quiet -p kith-client --bin kith-web --features web \
    --target wasm32-unknown-unknown --profile "client-$kind"
wasm=$target/wasm32-unknown-unknown/client-$kind/kith-web.wasm

# LiveKit's client, of the lock file's version, outside of the repository.
version=$({ cat "$here/js/package-lock.json"; node -v; } | sha256sum | cut -c 1-16)
livekit=${XDG_CACHE_HOME:-$HOME/.cache}/kith/livekit-$version
if [ ! -d "$livekit" ]; then
    rm -rf "$livekit.new"
    mkdir -p "$livekit.new"
    cp "$here/js/package.json" "$here/js/package-lock.json" "$here/js/.npmrc" "$livekit.new/"
    (cd "$livekit.new" && npm ci --ignore-scripts --loglevel=error >&2)
    mv "$livekit.new" "$livekit"
fi
livekit=$livekit/node_modules/livekit-client/dist

# Nothing to do if nothing has changed; binding and packing take a minute.
stamp=$(cat "$wasm" "$here/index.html" "$here"/assets/*.* "$livekit"/*.umd.js "$here"/bundle/src/* | sha256sum)
if [ "$(cat "$out.stamp" 2>/dev/null)" != "$stamp" ] || [ ! -f "$out/index.html" ]; then
    mkdir -p "$(dirname "$out")"
    cargo run --locked --quiet -p kith-client-bundle -- "$wasm" "$here" "$livekit" "$out" "${quick[@]}"
    echo "$stamp" >"$out.stamp"
fi
echo "$out"
