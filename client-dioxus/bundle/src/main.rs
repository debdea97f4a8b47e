//! How do a WebAssembly module, a page and a style sheet become a folder that a web server can serve?

mod compress;
mod folder;
mod page;

use anyhow::Context;
use clap::Parser;
use std::path::{Path, PathBuf};

use folder::Folder;

/// Makes the web client's folder.
#[derive(Parser)]
struct Arguments {
    /// The module that cargo built for wasm32-unknown-unknown.
    wasm: PathBuf,
    /// Where index.html, boot.js and assets/ are.
    sources: PathBuf,
    /// The folder `dist` of the npm package livekit-client, for calls.
    livekit: PathBuf,
    /// The folder to write. What it held before is removed.
    out: PathBuf,
    /// Compress for a test on this machine, not for the world: larger files, in less time.
    #[arg(long)]
    quick: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    // Complete, or not there at all: a server may be serving the old one.
    let new = arguments.out.with_extension("new");
    if new.exists() {
        std::fs::remove_dir_all(&new)?;
    }
    let mut folder = Folder::create(&new)?;
    add_livekit(&arguments.livekit, &mut folder)?;
    bind(&arguments.wasm, &new.join("bound"), &mut folder)?;
    page::write(&arguments.sources, &mut folder)?;
    std::fs::remove_dir_all(new.join("bound"))?;
    let sizes = compress::all(&new, arguments.quick)?;
    if arguments.out.exists() {
        std::fs::remove_dir_all(&arguments.out)?;
    }
    std::fs::rename(&new, &arguments.out)?;
    report(&sizes);
    Ok(())
}

/// What `js/call.js` loads when the first call begins.
fn add_livekit(dist: &Path, folder: &mut Folder) -> anyhow::Result<()> {
    for (name, file) in [
        ("livekit.js", "livekit-client.umd.js"),
        ("livekit-e2ee.js", "livekit-client.e2ee.worker.js"),
    ] {
        let path = dist.join(file);
        let script = std::fs::read_to_string(&path);
        let script = script.with_context(|| format!("reading {}", path.display()))?;
        // The map is not in the folder.
        let script = script.split("\n//# sourceMappingURL=").next().unwrap_or_default();
        folder.add(name, script.as_bytes().to_vec())?;
    }
    Ok(())
}

/// wasm-bindgen's work: `kith.wasm` and `kith.js`, whose imports are files of the folder.
fn bind(wasm: &Path, bound: &Path, folder: &mut Folder) -> anyhow::Result<()> {
    wasm_bindgen_cli_support::Bindgen::new()
        .input_path(wasm)
        .out_name("kith")
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .omit_default_module_path(true)
        .generate(bound)
        .with_context(|| format!("binding {}", wasm.display()))?;
    folder.add("kith.wasm", std::fs::read(bound.join("kith_bg.wasm"))?)?;
    let mut script = std::fs::read_to_string(bound.join("kith.js"))?;
    for snippet in folder::files_below(&bound.join("snippets"))? {
        let path = snippet.strip_prefix(bound)?.to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&snippet)?;
        // Our own script names other files of the folder.
        let text = if path.ends_with("js/call.js") { folder.fill_in(&text)? } else { text };
        let name = folder.add("snippet.js", text.into_bytes())?;
        // Only where it is loaded from: the module asks for its imports by the name that was bound.
        for quote in ['\'', '"'] {
            let from = |file: &str| format!("from {quote}./{file}{quote}");
            script = script.replace(&from(&path), &from(&name));
        }
    }
    folder.add("kith.js", script.into_bytes())?;
    Ok(())
}

#[expect(clippy::print_stdout, reason = "what a person who builds wants to know")]
fn report(sizes: &[compress::Size]) {
    for size in sizes {
        println!("{:>10} {:>10} {:>10}  {}", size.raw, size.gzip, size.brotli, size.name);
    }
    let sum = |of: fn(&compress::Size) -> usize| sizes.iter().map(of).sum::<usize>();
    let (raw, gzip, brotli) = (sum(|s| s.raw), sum(|s| s.gzip), sum(|s| s.brotli));
    println!("{raw:>10} {gzip:>10} {brotli:>10}  bytes in all: raw, gzip, brotli");
}
