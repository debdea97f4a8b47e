//! Which small pictures are there of a file?
//!
//! Each is made once, when it is first asked for, and kept as a chunk. One that is lost is made again.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#thumbnails)

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt;
use kith_store::{
    Batch, Json, Scan, Store,
    tables::{MediaRow, PictureRow, THUMBNAILS, ThumbnailRow, ThumbnailState},
};

use crate::{
    MediaStore,
    chunks::{self, Chunks},
    decoder::{DecodeError, Decoder},
    id::{ChunkId, Mxc},
    picture::{self, Facts, Format, Method, Refusal, Size},
    policy::milliseconds,
    turns::Turns,
};

/// The sizes that are made: what is asked for becomes the next larger one, so that few are kept.
const SCALED: [(u32, u32); 4] = [(320, 240), (640, 480), (800, 600), (1600, 1200)];
const CROPPED: [u32; 5] = [32, 96, 192, 384, 768];
/// The longer sides of those that are no squares.
const CROPPED_LONG: [u32; 5] = [96, 320, 640, 800, 1600];
/// How many are kept of one file; others are made for each who asks.
const MOST: usize = 16;
/// For how long a picture is not tried again that the decoder did not survive.
const RETRY: Duration = Duration::from_hours(1);

#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing can be said of the picture.
    #[error(transparent)]
    Decoder(DecodeError),
    #[error(transparent)]
    Chunks(#[from] chunks::Error),
    #[error(transparent)]
    Files(#[from] crate::Error),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// A small picture.
#[derive(Debug, Clone)]
pub struct Thumbnail {
    pub facts: Facts,
    /// `None`: the file itself is the best answer.
    pub bytes: Option<Bytes>,
}

/// Makes and keeps the thumbnails of one team's files. Cheap to clone.
#[derive(Clone)]
pub struct Thumbnails(Arc<Inner>);

struct Inner {
    files: MediaStore,
    store: Store,
    decoder: Decoder,
    making: Turns<(Mxc, String)>,
}

impl Thumbnails {
    pub fn new(files: MediaStore, store: Store, decoder: Decoder) -> Self {
        Self(Arc::new(Inner { files, store, decoder, making: Turns::default() }))
    }

    /// A picture of the whole file `mxc`, whose row is `row`: at least as large as `asked`, and not larger than
    /// the file's.
    pub async fn get(
        &self,
        mxc: &Mxc,
        row: &MediaRow,
        asked: Size,
    ) -> Result<Thumbnail, ThumbnailError> {
        if row.size > picture::BYTES {
            return Err(Refusal::TooLarge.into());
        }
        let size = next_size(asked);
        let name = name(size);
        if let Some(found) = self.kept(mxc, &name).await? {
            return found;
        }
        let _turn = self.0.making.take((mxc.clone(), name.clone())).await;
        if let Some(found) = self.kept(mxc, &name).await? {
            return found;
        }
        self.make(mxc, row, size, name).await
    }

    async fn kept(
        &self,
        mxc: &Mxc,
        name: &str,
    ) -> Result<Option<Result<Thumbnail, ThumbnailError>>, ThumbnailError> {
        let (server, id) = mxc.key();
        let row = self.0.store.get(&THUMBNAILS, &(server, id, name.to_owned())).await?;
        let Some(Json(row)) = row else { return Ok(None) };
        Ok(match row.state {
            ThumbnailState::Kept { chunk, length, picture } => {
                let (Some(facts), Ok(chunk)) = (facts(&picture), chunk.parse()) else {
                    return Ok(None);
                };
                match self.0.files.chunks().read(&chunk, 0..length).await {
                    Ok(bytes) => Some(Ok(Thumbnail { facts, bytes: Some(bytes) })),
                    // It is made again, and written again.
                    Err(chunks::Error::Missing(_) | chunks::Error::Corrupt(_)) => None,
                    Err(error) => return Err(error.into()),
                }
            }
            ThumbnailState::Whole { picture } => {
                facts(&picture).map(|facts| Ok(Thumbnail { facts, bytes: None }))
            }
            ThumbnailState::Refused { why } => Refusal::of_word(&why).map(|why| Err(why.into())),
            ThumbnailState::Died { until } if until > self.0.files.0.now() => {
                Some(Err(Refusal::Damaged.into()))
            }
            ThumbnailState::Died { .. } => None,
        })
    }

    async fn make(
        &self,
        mxc: &Mxc,
        row: &MediaRow,
        size: Size,
        name: String,
    ) -> Result<Thumbnail, ThumbnailError> {
        let content = self.0.files.read(mxc, 0..row.size).map_err(io::Error::other);
        let rendered = self.0.decoder.render(content, size).await;
        let (state, held, answer) = match rendered {
            Ok(picture::Rendered { facts, bytes: Some(bytes) }) => {
                let bytes = Bytes::from(bytes);
                let held = self.0.files.chunks().put(bytes.clone()).await?;
                let (chunk, length) = (held.id.to_string(), held.len);
                let state = ThumbnailState::Kept { chunk, length, picture: row_of(facts) };
                (state, Some(held), Ok(Thumbnail { facts, bytes: Some(bytes) }))
            }
            Ok(picture::Rendered { facts, bytes: None }) => {
                let state = ThumbnailState::Whole { picture: row_of(facts) };
                (state, None, Ok(Thumbnail { facts, bytes: None }))
            }
            Err(DecodeError::Refused(refusal)) => {
                let why = refusal.word().to_owned();
                (ThumbnailState::Refused { why }, None, Err(refusal.into()))
            }
            Err(DecodeError::Died(reason)) => {
                tracing::warn!(%mxc, reason, "no thumbnail");
                let until = self.0.files.0.now().saturating_add(milliseconds(RETRY));
                (ThumbnailState::Died { until }, None, Err(Refusal::Damaged.into()))
            }
            Err(error @ (DecodeError::Source(_) | DecodeError::Start(_))) => {
                return Err(ThumbnailError::Decoder(error));
            }
        };
        let kept = Scan::prefix(&mxc.key()).limit(MOST);
        let kept = self.0.store.scan(&THUMBNAILS, kept).await?;
        if kept.len() < MOST || kept.iter().any(|((_, _, other), _)| *other == name) {
            let mut batch = Batch::new();
            if let Some(held) = &held {
                self.0.files.chunks().used_by(&mut batch, &held.id, &owner(mxc, &name));
            }
            let (server, id) = mxc.key();
            let row = ThumbnailRow { made: self.0.files.0.now(), state };
            batch.put(&THUMBNAILS, &(server, id, name), &Json(row));
            self.0.store.commit(batch).await?;
            // It may have gone meanwhile, with everything that was known of it then.
            if self.0.files.record(mxc).await?.is_none() {
                let mut batch = Batch::new();
                forget(&self.0.store, self.0.files.chunks(), &mut batch, mxc).await?;
                self.0.store.commit(batch).await?;
            }
        }
        answer
    }
}

/// Lets go of all small pictures of a file that goes.
pub(crate) async fn forget(
    store: &Store,
    chunks: &Chunks,
    batch: &mut Batch,
    mxc: &Mxc,
) -> Result<(), kith_store::Error> {
    for (key, Json(row)) in store.scan(&THUMBNAILS, Scan::prefix(&mxc.key())).await? {
        if let ThumbnailState::Kept { chunk, .. } = row.state
            && let Ok(chunk) = chunk.parse::<ChunkId>()
        {
            chunks.unused_by(batch, &chunk, &owner(mxc, &key.2));
        }
        batch.delete(&THUMBNAILS, &key);
    }
    Ok(())
}

/// By what its chunk is used.
fn owner(mxc: &Mxc, name: &str) -> String {
    format!("thumbnail {name} {mxc}")
}

/// The size that is made where this one is asked for.
fn next_size(asked: Size) -> Size {
    let Size { width, height, method, .. } = asked;
    let next = match method {
        Method::Scale => SCALED.into_iter().find(|(wide, high)| *wide >= width && *high >= height),
        Method::Crop if width == height => {
            CROPPED.into_iter().find(|side| *side >= width).map(|side| (side, side))
        }
        Method::Crop => {
            let longer = width.max(height);
            let next = CROPPED_LONG.into_iter().find(|side| *side >= longer);
            next.map(|next| {
                // The same shape.
                let grown = |side: u32| {
                    let grown = u64::from(side) * u64::from(next);
                    u32::try_from(grown.div_ceil(u64::from(longer))).unwrap_or(u32::MAX)
                };
                (grown(width), grown(height))
            })
        }
    };
    let (width, height) = next.unwrap_or((width, height));
    Size { width, height, ..asked }
}

fn name(size: Size) -> String {
    let Size { width, height, method, animated } = size;
    let method = match method {
        Method::Scale => "scale",
        Method::Crop => "crop",
    };
    format!("{method} {width}x{height}{}", if animated { " animated" } else { "" })
}

fn row_of(facts: Facts) -> PictureRow {
    let Facts { format, width, height } = facts;
    PictureRow { content_type: format.mime().to_owned(), width, height }
}

fn facts(row: &PictureRow) -> Option<Facts> {
    let format = Format::of_mime(&row.content_type)?;
    Some(Facts { format, width: row.width, height: row.height })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_sizes_are_made() {
        for (method, asked, made) in [
            (Method::Scale, (1, 1), (320, 240)),
            (Method::Scale, (320, 240), (320, 240)),
            (Method::Scale, (320, 241), (640, 480)),
            (Method::Scale, (801, 1), (1600, 1200)),
            (Method::Scale, (2000, 10), (2000, 10)),
            (Method::Crop, (1, 1), (32, 32)),
            (Method::Crop, (32, 32), (32, 32)),
            (Method::Crop, (33, 33), (96, 96)),
            (Method::Crop, (1000, 1000), (1000, 1000)),
            (Method::Crop, (160, 90), (320, 180)),
            (Method::Crop, (90, 160), (180, 320)),
            (Method::Crop, (100, 33), (320, 106)),
            (Method::Crop, (4096, 1), (4096, 1)),
        ] {
            let asked = Size { width: asked.0, height: asked.1, method, animated: false };
            let size = next_size(asked);
            assert_eq!((size.width, size.height), made, "{asked:?}");
            assert!(size.width >= asked.width && size.height >= asked.height);
        }
    }

    #[test]
    fn sizes_have_different_names() {
        let size = Size { width: 96, height: 64, method: Method::Crop, animated: true };
        assert_eq!(name(size), "crop 96x64 animated");
        assert_eq!(name(Size { animated: false, ..size }), "crop 96x64");
        assert_eq!(name(Size { method: Method::Scale, ..size }), "scale 96x64 animated");
    }
}
