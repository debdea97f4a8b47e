//! Pictures for the tests.

use std::io::Cursor;

use image::{
    Delay, DynamicImage, Frame, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage,
    codecs::gif::{GifEncoder, Repeat},
};

/// Red in the upper left corner, green in the upper right, blue in the lower left, white in the lower right.
pub(crate) fn corners(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x < width / 2, y < height / 2) {
        (true, true) => Rgb([255, 0, 0]),
        (false, true) => Rgb([0, 255, 0]),
        (true, false) => Rgb([0, 0, 255]),
        (false, false) => Rgb([255, 255, 255]),
    })
}

/// Smooth but nowhere quite the same, as a photo is.
pub(crate) fn gradient(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let part = |value: u32, of: u32| (u64::from(value) * 255 / u64::from(of)) as u8;
        let mixed =
            (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77)).wrapping_mul(0x2c1b_3c6d);
        let noise = (mixed ^ (mixed >> 15)).wrapping_mul(0x297a_2d39) >> 24;
        Rgb([part(x, width) ^ (noise as u8 & 7), part(y, height) ^ (noise as u8 >> 5), noise as u8])
    })
}

/// A red disc on nothing.
pub(crate) fn disc(side: u32) -> RgbaImage {
    let (middle, radius) = (f64::from(side) / 2.0, f64::from(side) * 0.4);
    RgbaImage::from_fn(side, side, |x, y| {
        let far = (f64::from(x) - middle).hypot(f64::from(y) - middle) > radius;
        if far { Rgba([0, 0, 0, 0]) } else { Rgba([200, 30, 30, 255]) }
    })
}

pub(crate) fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).expect("it can be encoded");
    bytes.into_inner()
}

/// A dot that walks from left to right.
pub(crate) fn walking(side: u32, frames: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new_with_speed(&mut bytes, 30);
    encoder.set_repeat(Repeat::Infinite).expect("before the first frame");
    for number in 0..frames {
        let left = number * side / frames;
        let frame = RgbaImage::from_fn(side, side, |x, _| {
            if (left..left + side / 10 + 1).contains(&x) {
                Rgba([255, 0, 0, 255])
            } else {
                Rgba([255, 255, 255, 255])
            }
        });
        let delay = Delay::from_numer_denom_ms(40, 1);
        encoder.encode_frame(Frame::from_parts(frame, 0, 0, delay)).expect("a frame");
    }
    drop(encoder);
    bytes
}

/// The same frame again and again: small as a file, much to decode.
pub(crate) fn standing(side: u32, frames: usize) -> Vec<u8> {
    let one = file(RgbaImage::from_pixel(side, side, Rgba([9, 9, 9, 255])), ImageFormat::Gif);
    let palette = if one[10] & 0x80 == 0 { 0 } else { 6 << (one[10] & 7) };
    let (start, frame) = one[..one.len() - 1].split_at(13 + palette);
    let mut bytes = start.to_vec();
    for _ in 0..frames {
        bytes.extend(frame);
    }
    bytes.push(b';');
    bytes
}

/// A JPEG file with this orientation and a comment in its Exif data.
pub(crate) fn turned(image: &RgbImage, orientation: u8) -> Vec<u8> {
    let jpeg = file(image.clone(), ImageFormat::Jpeg);
    // Little endian; one entry: tag 0x0112, a short, one of it.
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    exif.extend(b"taken at a secret place");
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xff, 0xe1]);
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(&exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

/// A PNG file of these chunks.
pub(crate) fn png(chunks: &[(&[u8; 4], Vec<u8>)]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in chunks {
        bytes.extend((data.len() as u32).to_be_bytes());
        let start = bytes.len();
        bytes.extend(*name);
        bytes.extend(data);
        let sum = crc32fast::hash(&bytes[start..]);
        bytes.extend(sum.to_be_bytes());
    }
    bytes
}

/// The header of a picture with eight bits for each of red, green and blue.
pub(crate) fn png_header(width: u32, height: u32) -> Vec<u8> {
    let mut data = width.to_be_bytes().to_vec();
    data.extend(height.to_be_bytes());
    data.extend([8, 2, 0, 0, 0]);
    data
}

pub(crate) fn deflated_zeros(length: usize) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for start in (0..length).step_by(zeros.len()) {
        encoder.write_all(&zeros[..zeros.len().min(length - start)]).expect("memory");
    }
    encoder.finish().expect("memory")
}
