//! What is each file called?

use anyhow::Context;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Below it, no name ever gets another content: the server lets browsers keep it for ever.
const ASSETS: &str = "assets";

/// A folder of files which are named after their content, so that a browser may keep them for ever.
pub(crate) struct Folder {
    path: PathBuf,
    /// From the plain name (`kith.wasm`) to the name in the folder (`kith-0123456789abcdef.wasm`).
    names: BTreeMap<String, String>,
}

impl Folder {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let assets = path.join(ASSETS);
        std::fs::create_dir_all(&assets).with_context(|| format!("making {}", assets.display()))?;
        Ok(Self { path: path.to_owned(), names: BTreeMap::new() })
    }

    /// Writes a file and tells its name, below [`ASSETS`].
    pub(crate) fn add(&mut self, name: &str, content: Vec<u8>) -> anyhow::Result<String> {
        let hashed = hashed_name(name, &content);
        std::fs::write(self.path.join(ASSETS).join(&hashed), content)?;
        self.names.insert(name.to_owned(), hashed.clone());
        Ok(hashed)
    }

    /// Writes a file that keeps its name.
    pub(crate) fn add_plain(&self, name: &str, content: Vec<u8>) -> anyhow::Result<()> {
        Ok(std::fs::write(self.path.join(name), content)?)
    }

    /// `{{kith.wasm}}` becomes the name of that file. A name that is not there is an error.
    pub(crate) fn fill_in(&self, template: &str) -> anyhow::Result<String> {
        let mut filled = template.to_owned();
        for (name, hashed) in &self.names {
            filled = filled.replace(&format!("{{{{{name}}}}}"), hashed);
        }
        let missing = filled.split_once("{{").and_then(|(_, rest)| rest.split_once("}}"));
        anyhow::ensure!(missing.is_none(), "no such file: {}", missing.unwrap_or_default().0);
        Ok(filled)
    }
}

/// `app.css` -> `app-0123456789abcdef.css`: 64 bits of SHA-256.
fn hashed_name(name: &str, content: &[u8]) -> String {
    let digest = Sha256::digest(content);
    let hash: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}-{hash}.{extension}"),
        None => format!("{name}-{hash}"),
    }
}

/// Every file below a folder, in order; none if the folder is not there.
pub(crate) fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            match path.is_dir() {
                true => files.extend(files_below(&path)?),
                false => files.push(path),
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_follows_its_content() {
        let name = hashed_name("app.css", b"body{}");
        assert_eq!(name, hashed_name("app.css", b"body{}"));
        assert_ne!(name, hashed_name("app.css", b"body{ }"));
        assert!(name.starts_with("app-") && name.ends_with(".css"), "{name}");
        assert_eq!(name.len(), "app-.css".len() + 16);
    }

    #[test]
    fn a_template_gets_the_names_and_misses_none() {
        let at = tempfile::tempdir().unwrap();
        let mut folder = Folder::create(at.path()).unwrap();
        let name = folder.add("app.css", b"body{}".to_vec()).unwrap();
        assert_eq!(
            folder.fill_in("<link href={{app.css}}>").unwrap(),
            format!("<link href={name}>")
        );
        assert!(folder.fill_in("{{other.css}}").unwrap_err().to_string().contains("other.css"));
    }
}
