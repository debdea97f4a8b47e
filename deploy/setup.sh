#!/usr/bin/env bash
# Makes a fresh Debian machine able to build Kith: installs what is missing and asks for nothing.
# With --client also what the web client's bundle needs (npm, for LiveKit's client), with --tests what the tests with
# other people's clients need (Python, Node.js, a browser).
set -euo pipefail

rust_wanted=1.95
packages=()

need() { # need PACKAGE COMMAND...: the package is missing if the command fails
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || packages+=("$package")
}

need build-essential sh -c 'command -v cc && command -v make'
need pkg-config command -v pkg-config
need ca-certificates test -s /etc/ssl/certs/ca-certificates.crt
# Calls are recorded by GStreamer.
need libgstreamer1.0-dev pkg-config --exists gstreamer-1.0
need libgstreamer-plugins-base1.0-dev pkg-config --exists gstreamer-app-1.0
need gstreamer1.0-plugins-base dpkg -s gstreamer1.0-plugins-base
need gstreamer1.0-plugins-good dpkg -s gstreamer1.0-plugins-good
if [ "${1:-}" = --tests ] || [ "${1:-}" = --client ]; then
    need nodejs command -v node
    need npm command -v npm
fi
if [ "${1:-}" = --tests ]; then
    need python3-venv python3 -c 'import venv, ensurepip'
    need curl command -v curl
    # The web client's tests, and the letters and signs that they show.
    need chromium command -v chromium
    need fonts-noto-cjk test -d /usr/share/fonts/opentype/noto
    need fonts-noto-color-emoji test -f /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf
fi

if [ "${#packages[@]}" -gt 0 ]; then
    echo "installing: ${packages[*]}"
    if ! command -v apt-get >/dev/null; then
        echo "this is no Debian: please install them yourself" >&2
        exit 1
    fi
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        as_root=(sudo -n)
        if ! sudo -n true 2>/dev/null; then
            echo "please run as root: apt-get install ${packages[*]}" >&2
            exit 1
        fi
    fi
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

if ! command -v cargo >/dev/null; then
    echo "Rust is missing: install $rust_wanted or newer from https://rustup.rs" >&2
    exit 1
fi
rust=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n' "$rust_wanted" "$rust" | sort -V | head -n 1)" != "$rust_wanted" ]; then
    echo "Rust $rust is too old: $rust_wanted or newer is needed (rustup update)" >&2
    exit 1
fi
