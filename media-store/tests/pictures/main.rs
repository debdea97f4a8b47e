//! Are pictures made small as they should be, and what do bad ones do?

mod bombs;
mod make;
mod previews;
mod render;
mod thumbnails;

use std::{io, path::PathBuf};

use bytes::Bytes;
use futures_util::{Stream, stream};
use kith_media_store::{
    decoder::{Decoder, Limits},
    picture::{Method, Size},
};

fn decoder() -> Decoder {
    decoder_with(Limits::default())
}

fn decoder_with(limits: Limits) -> Decoder {
    Decoder::new(PathBuf::from(env!("CARGO_BIN_EXE_kith-decode-image")), limits)
}

/// As a file comes out of a store: in pieces.
fn pieces(bytes: &[u8]) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
    let pieces: Vec<_> = bytes.chunks(64 * 1024).map(|part| Ok(part.to_vec().into())).collect();
    stream::iter(pieces)
}

fn size(method: Method, width: u32, height: u32) -> Size {
    Size { width, height, method, animated: false }
}
