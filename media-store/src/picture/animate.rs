//! How does a small picture move that was made of a large one that moves? As a GIF.

use std::io::Cursor;

use image::{
    AnimationDecoder, DynamicImage, Frame, ImageDecoder, ImageResult,
    codecs::{
        gif::{GifDecoder, GifEncoder, Repeat},
        png::PngDecoder,
        webp::WebPDecoder,
    },
};

use super::{Format, Plan, Refusal, limits, refusal, shrink};

/// What moves longer, or is larger in all its frames together, is a still picture.
const FRAMES: u64 = 500;
const PIXELS: u64 = 128 * 1024 * 1024;
/// Of 1 to 30: colours are chosen among every tenth pixel.
const SPEED: i32 = 10;

/// The frames of a GIF, each whole.
pub(super) fn frames<'a>(
    mut decoder: GifDecoder<Cursor<&'a [u8]>>,
) -> Box<dyn Iterator<Item = ImageResult<Frame>> + 'a> {
    match decoder.set_limits(limits()) {
        Ok(()) => Box::new(decoder.into_frames()),
        Err(error) => Box::new(std::iter::once(Err(error))),
    }
}

/// `None`: too much to move.
pub(super) fn animate(
    source: &[u8],
    format: Format,
    plan: Plan,
) -> Result<Option<Vec<u8>>, Refusal> {
    let cursor = Cursor::new(source);
    let frames: Box<dyn Iterator<Item = ImageResult<Frame>>> = match format {
        Format::Gif => frames(GifDecoder::new(cursor).map_err(refusal)?),
        Format::Png => {
            let decoder = PngDecoder::with_limits(cursor, limits()).map_err(refusal)?;
            Box::new(decoder.apng().map_err(refusal)?.into_frames())
        }
        Format::WebP => {
            let mut decoder = WebPDecoder::new(cursor).map_err(refusal)?;
            decoder.set_limits(limits()).map_err(refusal)?;
            Box::new(decoder.into_frames())
        }
        Format::Jpeg | Format::Bmp => return Ok(None),
    };
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, SPEED);
    encoder.set_repeat(Repeat::Infinite).map_err(refusal)?;
    let (mut count, mut pixels) = (0, 0);
    for frame in frames {
        // What is left of a picture that is cut off moves as far as it goes.
        let Ok(frame) = frame else { break };
        count += 1;
        pixels += u64::from(frame.buffer().width()) * u64::from(frame.buffer().height());
        if count > FRAMES || pixels > PIXELS {
            return Ok(None);
        }
        let delay = frame.delay();
        let small = shrink(DynamicImage::ImageRgba8(frame.into_buffer()), &plan)?;
        let small = Frame::from_parts(small.into_rgba8(), 0, 0, delay);
        encoder.encode_frame(small).map_err(refusal)?;
    }
    drop(encoder);
    Ok((count > 1).then_some(bytes))
}
