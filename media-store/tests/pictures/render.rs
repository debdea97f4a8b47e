//! What comes out of good pictures.

use image::{AnimationDecoder, GenericImageView, ImageFormat, codecs::gif::GifDecoder};
use kith_media_store::picture::{Facts, Format, Method, Size};

use crate::{decoder, make, pieces, size};

/// The result's facts and pixels; fails if the source would have done.
async fn made(source: &[u8], size: Size) -> (Facts, image::DynamicImage) {
    let rendered = decoder().render(pieces(source), size).await.expect("a picture");
    let bytes = rendered.bytes.expect("something smaller");
    let image = image::load_from_memory(&bytes).expect("a picture again");
    assert_eq!(image.dimensions(), (rendered.facts.width, rendered.facts.height));
    (rendered.facts, image)
}

fn near(pixel: image::Rgba<u8>, expected: [u8; 3]) -> bool {
    pixel.0.iter().zip(expected).all(|(value, expected)| value.abs_diff(expected) < 40)
}

#[tokio::test]
async fn every_format_becomes_a_jpeg_of_the_size_that_is_asked_for() {
    for format in
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp]
    {
        let source = make::file(make::gradient(600, 480), format);
        let (facts, _) = made(&source, size(Method::Scale, 320, 240)).await;
        assert_eq!(facts, Facts { format: Format::Jpeg, width: 320, height: 256 }, "{format:?}");
    }
}

#[tokio::test]
async fn a_crop_shows_the_middle() {
    let source = make::file(make::corners(900, 300), ImageFormat::Png);
    let (facts, image) = made(&source, size(Method::Crop, 96, 96)).await;
    assert_eq!((facts.width, facts.height), (96, 96));
    assert!(near(image.get_pixel(5, 5), [255, 0, 0]));
    assert!(near(image.get_pixel(90, 5), [0, 255, 0]));
    assert!(near(image.get_pixel(5, 90), [0, 0, 255]));
    assert!(near(image.get_pixel(90, 90), [255, 255, 255]));
}

#[tokio::test]
async fn what_shines_through_shines_through_still() {
    for format in [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif] {
        let source = make::file(make::disc(400), format);
        let (facts, image) = made(&source, size(Method::Crop, 96, 96)).await;
        assert_eq!(facts.format, Format::Png, "{format:?}");
        assert_eq!(image.get_pixel(0, 0).0[3], 0, "{format:?}");
        assert_eq!(image.get_pixel(48, 48).0[3], 255, "{format:?}");
    }
}

#[tokio::test]
async fn a_small_picture_stays_as_it_is() {
    for (format, expected) in [
        (ImageFormat::Png, Format::Png),
        (ImageFormat::Jpeg, Format::Jpeg),
        (ImageFormat::WebP, Format::WebP),
        (ImageFormat::Gif, Format::Gif),
    ] {
        let source = make::file(make::corners(60, 40), format);
        let rendered = decoder().render(pieces(&source), size(Method::Scale, 320, 240)).await;
        let rendered = rendered.expect("a picture");
        assert_eq!(rendered.facts, Facts { format: expected, width: 60, height: 40 });
        assert_eq!(rendered.bytes, None);
    }
    // Not every browser knows these.
    let source = make::file(make::corners(60, 40), ImageFormat::Bmp);
    let (facts, _) = made(&source, size(Method::Scale, 320, 240)).await;
    assert_eq!(facts, Facts { format: Format::Jpeg, width: 60, height: 40 });
}

/// Cameras write pixels as they lie on the sensor, and beside them how the camera was held.
#[tokio::test]
async fn a_turned_photo_stands_upright_and_tells_nothing_else() {
    let upright = make::corners(600, 400);
    let source = image::DynamicImage::from(upright);
    for (orientation, lying) in [
        (1, source.clone()),
        (2, source.fliph()),
        (3, source.rotate180()),
        (4, source.flipv()),
        (5, source.rotate90().fliph()),
        (6, source.rotate270()),
        (7, source.rotate270().fliph()),
        (8, source.rotate90()),
    ] {
        let file = make::turned(&lying.into_rgb8(), orientation);
        let facts = decoder().inspect(pieces(&file)).await.expect("a picture");
        assert_eq!((facts.width, facts.height), (600, 400), "{orientation}");
        let wanted = size(Method::Scale, 150, 100);
        let rendered = decoder().render(pieces(&file), wanted).await.expect("a picture");
        assert_eq!((rendered.facts.width, rendered.facts.height), (150, 100), "{orientation}");
        let bytes = rendered.bytes.expect("something smaller");
        let image = image::load_from_memory(&bytes).expect("a picture again");
        assert_eq!(image.dimensions(), (150, 100), "{orientation}");
        assert!(near(image.get_pixel(10, 10), [255, 0, 0]), "{orientation}");
        assert!(near(image.get_pixel(140, 10), [0, 255, 0]), "{orientation}");
        assert!(near(image.get_pixel(10, 90), [0, 0, 255]), "{orientation}");
        let text = |needle: &[u8]| bytes.windows(needle.len()).any(|part| part == needle);
        assert!(!text(b"Exif") && !text(b"secret"), "{orientation}");
        let wide = made(&file, size(Method::Crop, 96, 32)).await.0;
        assert_eq!((wide.width, wide.height), (96, 32), "{orientation}");
    }
}

#[tokio::test]
async fn a_gif_moves_only_if_it_is_asked_to() {
    let source = make::walking(400, 6);
    let animated = Size { animated: true, ..size(Method::Scale, 96, 96) };
    let rendered = decoder().render(pieces(&source), animated).await.expect("a picture");
    let (bytes, facts) = (rendered.bytes.expect("something smaller"), rendered.facts);
    assert_eq!(facts, Facts { format: Format::Gif, width: 96, height: 96 });
    let decoded = GifDecoder::new(std::io::Cursor::new(&bytes)).expect("a GIF");
    let frames = decoded.into_frames().collect_frames().expect("frames");
    assert_eq!(frames.len(), 6);
    assert!(frames.iter().all(|frame| frame.buffer().dimensions() == (96, 96)));
    assert_eq!(frames[0].delay().numer_denom_ms(), (40, 1));
    // The dot walks.
    assert!(near(*frames[0].buffer().get_pixel(3, 50), [255, 0, 0]));
    assert!(near(*frames[5].buffer().get_pixel(3, 50), [255, 255, 255]));
    let (still, _) = made(&source, size(Method::Scale, 96, 96)).await;
    assert_eq!(still.format, Format::Jpeg);
    // Small enough as it is, but it must not move: the first frame alone.
    let (still, _) = made(&source, size(Method::Scale, 800, 600)).await;
    assert_eq!(still, Facts { format: Format::Jpeg, width: 400, height: 400 });
    let animated = Size { animated: true, ..size(Method::Scale, 800, 600) };
    let whole = decoder().render(pieces(&source), animated).await.expect("a picture");
    assert_eq!(whole.bytes, None);
}

#[tokio::test]
async fn what_does_not_move_is_not_made_to() {
    let animated = Size { animated: true, ..size(Method::Crop, 96, 96) };
    for format in [ImageFormat::Gif, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Jpeg] {
        let source = make::file(make::gradient(300, 300), format);
        assert_eq!(made(&source, animated).await.0.format, Format::Jpeg, "{format:?}");
    }
}

/// A flat drawing may be smaller as it is than what would be made of it.
#[tokio::test]
async fn a_thumbnail_is_never_larger_than_the_picture() {
    let source = make::file(make::corners(850, 650), ImageFormat::WebP);
    let rendered = decoder().render(pieces(&source), size(Method::Scale, 800, 600)).await;
    let rendered = rendered.expect("a picture");
    assert_eq!(rendered.bytes, None);
    assert_eq!(rendered.facts, Facts { format: Format::WebP, width: 850, height: 650 });
}

#[tokio::test]
async fn pictures_of_all_depths_are_shown() {
    let image = image::DynamicImage::from(make::gradient(300, 200));
    for image in [
        image::DynamicImage::from(image.to_luma8()),
        image.to_luma16().into(),
        image.to_luma_alpha8().into(),
        image.to_luma_alpha16().into(),
        image.to_rgb16().into(),
        image.to_rgba16().into(),
    ] {
        let source = make::file(image, ImageFormat::Png);
        let (facts, _) = made(&source, size(Method::Scale, 96, 64)).await;
        assert_eq!((facts.width, facts.height), (96, 64));
    }
}
