//! What colours does a picture with a colour profile of its own have in a browser?
//!
//! The result carries no profile, so its colours become those of sRGB.

use image::DynamicImage;
use moxcms::{ColorProfile, DataColorSpace, Layout, TransformOptions};

/// Bytes of the largest profile that is looked at.
const LARGEST: usize = 4 * 1024 * 1024;

/// Unchanged where there is no profile, or none that can be used.
pub(super) fn to_srgb(image: DynamicImage, profile: Option<&[u8]>) -> DynamicImage {
    let Some(profile) = profile.filter(|profile| profile.len() <= LARGEST) else { return image };
    let Ok(profile) = ColorProfile::new_from_slice(profile) else { return image };
    // Decoders turn other kinds of colours into RGB themselves.
    if profile.color_space != DataColorSpace::Rgb {
        return image;
    }
    let layout = match &image {
        DynamicImage::ImageRgb8(_) => Layout::Rgb,
        DynamicImage::ImageRgba8(_) => Layout::Rgba,
        _ => return image,
    };
    let srgb = ColorProfile::new_srgb();
    let options = TransformOptions::default();
    let Ok(transform) = profile.create_transform_8bit(layout, &srgb, layout, options) else {
        return image;
    };
    let source = image.as_bytes();
    let mut converted = vec![0; source.len()];
    if transform.transform(source, &mut converted).is_err() {
        return image;
    }
    let (width, height) = (image.width(), image.height());
    let converted = match layout {
        Layout::Rgb => {
            image::ImageBuffer::from_raw(width, height, converted).map(DynamicImage::ImageRgb8)
        }
        _ => image::ImageBuffer::from_raw(width, height, converted).map(DynamicImage::ImageRgba8),
    };
    converted.unwrap_or(image)
}
