//! What is sent instead of a file to a browser that can unpack it?

use flate2::write::GzEncoder;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use crate::folder::files_below;

/// Bytes of one file and of its two compressed forms.
pub(crate) struct Size {
    pub(crate) name: String,
    pub(crate) raw: usize,
    pub(crate) gzip: usize,
    pub(crate) brotli: usize,
}

/// Writes `FILE.br` and `FILE.gz` beside every file.
pub(crate) fn all(folder: &Path, quick: bool) -> anyhow::Result<Vec<Size>> {
    let mut sizes = Vec::new();
    for path in files_below(folder)? {
        let content = std::fs::read(&path)?;
        let (gzip, brotli) = (gzip(&content, quick)?, brotli(&content, quick)?);
        let beside = |extension: &str| {
            let mut name = OsString::from(&path);
            name.push(extension);
            name
        };
        std::fs::write(beside(".gz"), &gzip)?;
        std::fs::write(beside(".br"), &brotli)?;
        sizes.push(Size {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            raw: content.len(),
            gzip: gzip.len(),
            brotli: brotli.len(),
        });
    }
    Ok(sizes)
}

fn gzip(content: &[u8], quick: bool) -> std::io::Result<Vec<u8>> {
    let level = if quick { flate2::Compression::fast() } else { flate2::Compression::best() };
    let mut encoder = GzEncoder::new(Vec::new(), level);
    encoder.write_all(content)?;
    encoder.finish()
}

fn brotli(content: &[u8], quick: bool) -> std::io::Result<Vec<u8>> {
    let quality = if quick { 4 } else { 11 };
    // A window of 16 MiB holds the whole module.
    let parameters = brotli::enc::BrotliEncoderParams { quality, lgwin: 24, ..Default::default() };
    let mut packed = Vec::new();
    brotli::BrotliCompress(&mut std::io::Cursor::new(content), &mut packed, &parameters)?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// Both forms unpack to the file.
    #[test]
    fn both_forms_unpack_to_the_file() {
        let content = b"Kith. ".repeat(10_000);
        for quick in [true, false] {
            let mut unpacked = Vec::new();
            let packed = gzip(&content, quick).unwrap();
            flate2::read::GzDecoder::new(packed.as_slice()).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, content);
            let packed = brotli(&content, quick).unwrap();
            unpacked.clear();
            brotli::Decompressor::new(packed.as_slice(), 4096).read_to_end(&mut unpacked).unwrap();
            assert_eq!(unpacked, content);
            assert!(packed.len() < content.len() / 10);
        }
    }
}
