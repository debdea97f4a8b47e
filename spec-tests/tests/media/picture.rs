//! Pictures, made here and uploaded.

use std::io::Cursor;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use kith_spec_tests::{Answer, TestUser};
use reqwest::Method;

/// Nowhere quite the same, as a photo is.
pub(crate) fn photo(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        let mixed = x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca77);
        let mixed = mixed.wrapping_mul(0x2c1b_3c6d);
        let noise = ((mixed ^ (mixed >> 15)).wrapping_mul(0x297a_2d39) >> 24) as u8;
        Rgb([(x * 255 / width) as u8 ^ (noise & 7), (y * 255 / height) as u8, noise])
    })
}

pub(crate) fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).expect("it can be encoded");
    bytes.into_inner()
}

/// Its media ID.
pub(crate) async fn upload(user: &TestUser, content_type: &str, file: Vec<u8>) -> String {
    let path = "/_matrix/media/v3/upload";
    let headers = [("content-type", content_type)];
    let answer = user.request_with(Method::POST, path, Some(file), &headers).await;
    let uri = answer.text_at("content_uri");
    uri.rsplit('/').next().expect("a media ID").to_owned()
}

pub(crate) fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Width and height of the picture in a 200 answer.
#[track_caller]
pub(crate) fn dimensions(answer: &Answer) -> (u32, u32) {
    assert_eq!(answer.status, 200, "{answer}");
    let image = image::load_from_memory(&answer.bytes).expect("a picture");
    (image.width(), image.height())
}
