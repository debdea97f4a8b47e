//! How does a small picture come out of a large one?
//!
//! Runs only in the process of [`crate::decoder`], which may die of what it is given. Dimensions are read before
//! anything is decoded; nothing but the pixels gets into the result.

mod animate;
mod colour;
mod plan;

use std::io::Cursor;

use fast_image_resize::{PixelType, ResizeOptions, Resizer, images};
use image::{
    DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits,
    codecs::{gif::GifDecoder, jpeg::JpegEncoder, png::PngDecoder, webp::WebPDecoder},
    metadata::Orientation,
};
use serde::{Deserialize, Serialize};

use self::plan::{Plan, plan};

/// Pixels of the largest picture that is decoded.
pub const PIXELS: u64 = 32 * 1024 * 1024;
/// Bytes of the largest picture that is decoded, as a file and in memory.
pub const BYTES: u64 = 64 * 1024 * 1024;
const DECODED: u64 = 128 * 1024 * 1024;
/// Of 100.
const JPEG_QUALITY: u8 = 80;

/// What is wanted of a picture: at least these pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    pub width: u32,
    pub height: u32,
    pub method: Method,
    /// If it moves, it shall move still.
    pub animated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// All of it, with its aspect ratio.
    Scale,
    /// Its middle, with the aspect ratio that is asked for.
    Crop,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    Png,
    Jpeg,
    Gif,
    WebP,
    Bmp,
}

/// What a picture is, as it is looked at: its orientation is taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    pub format: Format,
    pub width: u32,
    pub height: u32,
}

/// Why there is no small picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    #[error("no picture of a known format")]
    Unknown,
    #[error("the picture is damaged")]
    Damaged,
    #[error("the picture is too large")]
    TooLarge,
}

impl Refusal {
    /// For a table's row.
    pub fn word(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Damaged => "damaged",
            Self::TooLarge => "too large",
        }
    }

    pub fn of_word(word: &str) -> Option<Self> {
        let all = [Self::Unknown, Self::Damaged, Self::TooLarge];
        all.into_iter().find(|refusal| refusal.word() == word)
    }
}

/// A picture's facts, and its bytes where they are not those of the source.
#[derive(Debug, PartialEq, Eq)]
pub struct Rendered {
    pub facts: Facts,
    /// `None`: the source is small enough, or smaller than what would be made of it.
    pub bytes: Option<Vec<u8>>,
}

impl Format {
    pub fn mime(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
            Self::Bmp => "image/bmp",
        }
    }

    pub fn of_mime(mime: &str) -> Option<Self> {
        let all = [Self::Png, Self::Jpeg, Self::Gif, Self::WebP, Self::Bmp];
        all.into_iter().find(|format| format.mime() == mime)
    }

    pub fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
            Self::Gif => "gif",
            Self::WebP => "webp",
            Self::Bmp => "bmp",
        }
    }

    fn of(source: &[u8]) -> Result<Self, Refusal> {
        match image::guess_format(source) {
            Ok(ImageFormat::Png) => Ok(Self::Png),
            Ok(ImageFormat::Jpeg) => Ok(Self::Jpeg),
            Ok(ImageFormat::Gif) => Ok(Self::Gif),
            Ok(ImageFormat::WebP) => Ok(Self::WebP),
            Ok(ImageFormat::Bmp) => Ok(Self::Bmp),
            _ => Err(Refusal::Unknown),
        }
    }

    fn image_format(self) -> ImageFormat {
        match self {
            Self::Png => ImageFormat::Png,
            Self::Jpeg => ImageFormat::Jpeg,
            Self::Gif => ImageFormat::Gif,
            Self::WebP => ImageFormat::WebP,
            Self::Bmp => ImageFormat::Bmp,
        }
    }
}

/// A picture of at least this size, or the source where it is no larger than that.
pub fn render(source: &[u8], size: Size) -> Result<Rendered, Refusal> {
    let mut opened = open(source)?;
    let facts = opened.facts;
    let animated = moves(source, facts.format)?;
    let plan = plan((facts.width, facts.height), size);
    let unchanged = Rendered { facts, bytes: None };
    if animated && size.animated && opened.orientation == Orientation::NoTransforms {
        let Some(plan) = plan else { return Ok(unchanged) };
        if let Some(bytes) = animate::animate(source, facts.format, plan)? {
            let made = Facts { format: Format::Gif, width: plan.width, height: plan.height };
            // A palette and full frames may well be larger than what they are made of.
            let whole = matches!(size.method, Method::Scale) && bytes.len() >= source.len();
            return Ok(if whole {
                unchanged
            } else {
                Rendered { facts: made, bytes: Some(bytes) }
            });
        }
    }
    let profile = opened.decoder.icc_profile().map_err(refusal)?;
    let image = DynamicImage::from_decoder(opened.decoder).map_err(refusal)?;
    // Shown without being made again, the source must be one still picture that browsers know.
    let showable = !animated && facts.format != Format::Bmp;
    let plan = match plan {
        None if showable => return Ok(unchanged),
        None => Plan::whole(facts.width, facts.height),
        Some(plan) => plan,
    };
    let mut image = shrink(image, &plan.turned(opened.orientation))?;
    image.apply_orientation(opened.orientation);
    let image = colour::to_srgb(image, profile.as_deref());
    let (format, bytes) = encode(image)?;
    if showable && matches!(size.method, Method::Scale) && bytes.len() >= source.len() {
        return Ok(unchanged);
    }
    let facts = Facts { format, width: plan.width, height: plan.height };
    Ok(Rendered { facts, bytes: Some(bytes) })
}

/// What a picture is, without decoding it.
pub fn inspect(source: &[u8]) -> Result<Facts, Refusal> {
    Ok(open(source)?.facts)
}

struct Opened<D> {
    decoder: D,
    facts: Facts,
    orientation: Orientation,
}

/// Reads what stands before the pixels, and refuses what would be too many.
fn open(source: &[u8]) -> Result<Opened<impl ImageDecoder>, Refusal> {
    let format = Format::of(source)?;
    let mut reader = ImageReader::with_format(Cursor::new(source), format.image_format());
    reader.limits(limits());
    let mut decoder = reader.into_decoder().map_err(refusal)?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width) * u64::from(height);
    if pixels > PIXELS || decoder.total_bytes() > DECODED {
        return Err(Refusal::TooLarge);
    }
    if pixels == 0 {
        return Err(Refusal::Damaged);
    }
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let (width, height) = plan::turned(orientation, (width, height));
    Ok(Opened { decoder, facts: Facts { format, width, height }, orientation })
}

fn limits() -> Limits {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(DECODED);
    limits
}

/// Whether it has more than one frame.
fn moves(source: &[u8], format: Format) -> Result<bool, Refusal> {
    let cursor = Cursor::new(source);
    Ok(match format {
        Format::Gif => {
            let decoder = GifDecoder::new(cursor).map_err(refusal)?;
            animate::frames(decoder).take(2).filter(Result::is_ok).count() == 2
        }
        Format::Png => {
            let decoder = PngDecoder::with_limits(cursor, limits()).map_err(refusal)?;
            decoder.is_apng().map_err(refusal)?
        }
        Format::WebP => WebPDecoder::new(cursor).map_err(refusal)?.has_animation(),
        Format::Jpeg | Format::Bmp => false,
    })
}

/// Cuts and scales as planned; eight bits a channel come out.
fn shrink(image: DynamicImage, plan: &Plan) -> Result<DynamicImage, Refusal> {
    let image = match image {
        DynamicImage::ImageLuma16(_) => image.into_luma8().into(),
        DynamicImage::ImageLumaA16(_) => image.into_luma_alpha8().into(),
        DynamicImage::ImageRgb16(_) => image.into_rgb8().into(),
        DynamicImage::ImageRgba16(_) => image.into_rgba8().into(),
        image => image,
    };
    let pixels = match &image {
        DynamicImage::ImageLuma8(_) => PixelType::U8,
        DynamicImage::ImageLumaA8(_) => PixelType::U8x2,
        DynamicImage::ImageRgb8(_) => PixelType::U8x3,
        DynamicImage::ImageRgba8(_) => PixelType::U8x4,
        _ => return Err(Refusal::Unknown),
    };
    let (width, height) = (plan.width, plan.height);
    let [left, top, cut_width, cut_height] = plan.cut;
    let source = images::ImageRef::new(image.width(), image.height(), image.as_bytes(), pixels)
        .map_err(|_| Refusal::Damaged)?;
    let mut small = images::Image::new(width, height, pixels);
    let options = ResizeOptions::new().crop(left, top, cut_width, cut_height);
    Resizer::new().resize(&source, &mut small, &options).map_err(|_| Refusal::Damaged)?;
    let bytes = small.into_vec();
    let small = match pixels {
        PixelType::U8 => ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageLuma8),
        PixelType::U8x2 => {
            ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageLumaA8)
        }
        PixelType::U8x3 => ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageRgb8),
        _ => ImageBuffer::from_raw(width, height, bytes).map(DynamicImage::ImageRgba8),
    };
    small.ok_or(Refusal::Damaged)
}

/// PNG where something shines through, JPEG elsewhere.
fn encode(image: DynamicImage) -> Result<(Format, Vec<u8>), Refusal> {
    let transparent = match &image {
        DynamicImage::ImageLumaA8(image) => image.pixels().any(|pixel| pixel.0[1] < 255),
        DynamicImage::ImageRgba8(image) => image.pixels().any(|pixel| pixel.0[3] < 255),
        _ => false,
    };
    let mut bytes = Vec::new();
    if transparent {
        image.write_to(&mut Cursor::new(&mut bytes), ImageFormat::Png).map_err(refusal)?;
        return Ok((Format::Png, bytes));
    }
    let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
    let opaque = match image {
        DynamicImage::ImageLumaA8(_) => DynamicImage::from(image.into_luma8()),
        DynamicImage::ImageRgba8(_) => DynamicImage::from(image.into_rgb8()),
        image => image,
    };
    opaque.write_with_encoder(encoder).map_err(refusal)?;
    Ok((Format::Jpeg, bytes))
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn refusal(error: ImageError) -> Refusal {
    match error {
        ImageError::Limits(_) => Refusal::TooLarge,
        ImageError::Unsupported(_) => Refusal::Unknown,
        _ => Refusal::Damaged,
    }
}
