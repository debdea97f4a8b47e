#!/usr/bin/env bash
# Gives a cargo toolchain that can build for wasm32-unknown-unknown, and prints its name for `cargo +NAME`
# (an empty line: the toolchain in use can do it). Quick when done.
#
# 1. The target of the toolchain in use, if it is there or rustup can add it.
# 2. With WASM_VIA=debian (CI sets it, so that no build waits for rustup's servers), or where rustup cannot download:
#    Debian's rustc-web and rust-web-src, unpacked into a folder of their own (as packages they conflict with rustc),
#    std for wasm32 built once from that source, and the whole linked as the rustup toolchain `rust-web`.
set -euo pipefail
prefix=${WASM_TOOLCHAIN_DIR:-$HOME/.local/share/rust-web}
target=wasm32-unknown-unknown
say() { echo "toolchain: $*" >&2; }

has_std() { # has_std SYSROOT
    compgen -G "$1/lib/rustlib/$target/lib/libstd-*.rlib" >/dev/null
}

pick() { # prints the toolchain's name, or fails if there is none yet
    if has_std "$(rustc --print sysroot)"; then
        echo ""
    elif [ -x "$prefix/usr/bin/rustc" ] && has_std "$prefix/usr" && rustup toolchain list | grep -q '^rust-web\b'; then
        echo rust-web
    else
        return 1
    fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

unpack_debian() { # the compiler and the sources of std; libllvm22 is the one library that they want from the system
    ldconfig -p | grep -q 'libLLVM.so.22' ||
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=900 \
            install -y -qq --no-install-recommends libllvm22 >&2
    local debs std
    debs=$(mktemp -d)
    chmod 755 "$debs"
    std=$(apt-cache depends libstd-rust-web-dev | sed -n 's/^ *Depends: \(libstd-rust-web-[0-9.]*\)$/\1/p')
    (cd "$debs" && apt-get download -qq rustc-web libstd-rust-web-dev "$std" rust-web-src >&2)
    rm -rf "$prefix.new"
    mkdir -p "$prefix.new"
    for deb in "$debs"/*.deb; do dpkg -x "$deb" "$prefix.new"; done
    rm -rf "$debs" "$prefix"
    mv "$prefix.new" "$prefix"
    rm -rf "$prefix/usr/src"/rustc-*/{compiler,src,tests} # 400 MB that nothing here reads
}

# Debian's rustc has no RPATH, so it is told where librustc_driver is. The linker (rust-lld, of the same LLVM) and
# cargo are those of the toolchain in use: links, because both look for their libraries beside themselves.
link_tools() {
    local usr=$prefix/usr host sysroot
    sysroot=$(rustc --print sysroot)
    host=$(rustc -vV | sed -n 's/^host: //p')
    for tool in rustc rustdoc; do
        mv "$usr/bin/$tool" "$usr/bin/$tool.bin"
        printf '#!/bin/sh\nexport LD_LIBRARY_PATH="%s${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"\nexec "%s" "$@"\n' \
            "$usr/lib/${host%%-*}-linux-gnu" "$usr/bin/$tool.bin" >"$usr/bin/$tool"
        chmod +x "$usr/bin/$tool"
    done
    ln -s "$sysroot/lib/rustlib/$host/bin" "$usr/lib/rustlib/$host/bin"
    ln -s "$sysroot/bin/cargo" "$usr/bin/cargo"
}

# library/Cargo.lock and library/vendor are in rust-web-src: no network. Only this step needs RUSTC_BOOTSTRAP; what
# is built with the toolchain later is built by stable means.
build_std() {
    local usr=$prefix/usr work
    work=$(mktemp -d)
    mkdir "$work/src"
    : >"$work/src/lib.rs"
    printf '[package]\nname="mkstd"\nversion="0.0.0"\nedition="2024"\n[workspace]\n' >"$work/Cargo.toml"
    (cd "$work" && env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS RUSTC="$usr/bin/rustc" RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="-Cembed-bitcode=yes" CARGO_TARGET_DIR="$work/target" \
        cargo build --quiet --release --offline --target $target \
        -Z build-std=core,alloc,std,panic_abort,panic_unwind,proc_macro,test \
        --config 'source.crates-io.replace-with="vendored"' \
        --config "source.vendored.directory=\"$usr/lib/rustlib/src/rust/library/vendor\"") >&2
    mkdir -p "$usr/lib/rustlib/$target/lib"
    cp "$work/target/$target/release/deps/"*.rlib "$usr/lib/rustlib/$target/lib/"
    rm -rf "$usr/lib/rustlib/$target/lib"/libmkstd-* "$work"
}

if ! name=$(pick); then
    if [ "${WASM_VIA:-rustup}" = rustup ] && timeout 180 rustup target add $target >&2; then
        :
    elif command -v apt-get >/dev/null && apt-cache show rust-web-src >/dev/null 2>&1; then
        say "preparing $target from Debian's rustc-web (once, about two minutes)"
        unpack_debian
        link_tools
        build_std
        rustup toolchain link rust-web "$prefix/usr"
    else
        say "no $target here: please run 'rustup target add $target'"
        exit 1
    fi
    name=$(pick)
fi
echo "$name"
