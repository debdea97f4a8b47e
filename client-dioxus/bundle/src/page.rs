//! What does a browser get first?

use anyhow::Context;
use std::path::Path;

use crate::folder::Folder;

/// Small files that are linked by name: the template's name and where it is in the sources.
const LINKED: [(&str, &str); 3] =
    [("app.css", "assets/app.css"), ("icon.svg", "assets/icon.svg"), ("boot.js", "assets/boot.js")];

/// The style sheet, the script that starts the module (`kith.js` and `kith.wasm` are there already), and the page.
pub(crate) fn write(sources: &Path, folder: &mut Folder) -> anyhow::Result<()> {
    let read = |path: &str| {
        let path = sources.join(path);
        std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))
    };
    for (name, path) in LINKED {
        let text = match name.ends_with(".js") {
            true => folder.fill_in(&read(path)?)?,
            false => read(path)?,
        };
        folder.add(name, text.into_bytes())?;
    }
    let page = folder.fill_in(&read("index.html")?)?;
    folder.add_plain("index.html", page.into_bytes())
}
