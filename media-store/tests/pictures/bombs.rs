//! What bad pictures do: they cost an answer, and nothing else.

use std::time::{Duration, Instant};

use image::ImageFormat;
use kith_media_store::{
    decoder::{DecodeError, Limits},
    picture::{Method, Refusal, Rendered, Size},
};

use crate::{decoder, decoder_with, make, pieces, size};

async fn render(source: &[u8]) -> Result<Rendered, DecodeError> {
    decoder().render(pieces(source), size(Method::Scale, 320, 240)).await
}

async fn refusal(source: &[u8]) -> Refusal {
    match render(source).await {
        Err(DecodeError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_picture_is_refused() {
    for source in [
        &b""[..],
        b"hello",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"\x00\x00\x00\x20ftypavif",
        b"P6 1 1 255 abc",
        b"II*\x00\x08\x00\x00\x00",
    ] {
        assert_eq!(refusal(source).await, Refusal::Unknown, "{}", source.escape_ascii());
    }
}

/// A few bytes that would become ten gigabytes.
#[tokio::test]
async fn a_picture_of_too_many_pixels_is_not_decoded() {
    let data = make::deflated_zeros(1000);
    let chunks =
        [(b"IHDR", make::png_header(50_000, 50_000)), (b"IDAT", data), (b"IEND", Vec::new())];
    assert_eq!(refusal(&make::png(&chunks)).await, Refusal::TooLarge);
    let mut gif = b"GIF89a\xff\xff\xff\xff\x00\x00\x00".to_vec();
    gif.extend(b",\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02\x4c\x01\x00;");
    assert_eq!(refusal(&gif).await, Refusal::TooLarge);
    // Its size is in the header only: 65,535 pixels each way.
    let mut jpeg = make::file(make::corners(16, 16), ImageFormat::Jpeg);
    let header = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).expect("a frame header");
    jpeg[header + 5..header + 9].fill(0xff);
    assert_eq!(refusal(&jpeg).await, Refusal::TooLarge);
    let mut bmp = make::file(make::corners(16, 16), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0]);
    assert_eq!(refusal(&bmp).await, Refusal::TooLarge);
    let facts = decoder().inspect(pieces(&gif)).await;
    assert!(matches!(facts, Err(DecodeError::Refused(Refusal::TooLarge))), "{facts:?}");
}

/// Sixty megabytes of text hide beside a small picture.
#[tokio::test]
async fn compressed_text_is_not_unpacked_without_end() {
    for name in [b"zTXt", b"iCCP"] {
        let mut text = b"a\x00\x00".to_vec();
        text.extend(make::deflated_zeros(1 << 26));
        let row = make::deflated_zeros(4 * (4 * 3 + 1));
        let chunks = [
            (b"IHDR", make::png_header(4, 4)),
            (name, text),
            (b"IDAT", row),
            (b"IEND", Vec::new()),
        ];
        let started = Instant::now();
        // Whether the picture beside it is shown matters little.
        match render(&make::png(&chunks)).await {
            Ok(_) | Err(DecodeError::Refused(_) | DecodeError::Died(_)) => {}
            other => panic!("{other:?}"),
        }
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

/// Pixels that are not declared are not unpacked.
#[tokio::test]
async fn more_pixels_than_declared_change_nothing() {
    let data = make::deflated_zeros(1 << 26);
    let chunks = [(b"IHDR", make::png_header(400, 300)), (b"IDAT", data), (b"IEND", Vec::new())];
    let rendered = render(&make::png(&chunks)).await;
    let good = |rendered: &Rendered| (rendered.facts.width, rendered.facts.height) == (320, 240);
    match rendered {
        Err(DecodeError::Refused(Refusal::Damaged)) => {}
        Ok(rendered) => assert!(good(&rendered), "{rendered:?}"),
        other => panic!("{other:?}"),
    }
}

/// It is shown, but does not move.
#[tokio::test]
async fn a_gif_of_a_hundred_thousand_frames_stands_still() {
    // Two colours, and then one pixel after another.
    let mut source = b"GIF89a\x28\x00\x28\x00\x80\x00\x00\xff\xff\xff\xff\x00\x00".to_vec();
    for _ in 0..100_000 {
        source.extend(b"!\xf9\x04\x00\x04\x00\x00\x00");
        source.extend(b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02\x44\x01\x00");
    }
    source.push(b';');
    let animated = Size { animated: true, ..size(Method::Crop, 32, 32) };
    let rendered = decoder().render(pieces(&source), animated).await.expect("its first frame");
    // Most of its canvas is empty.
    assert_eq!(rendered.facts.format.mime(), "image/png");
}

/// Each scan goes over the whole picture again, and costs the sender ten bytes.
#[tokio::test]
async fn a_jpeg_of_countless_scans_ends() {
    let mut source = vec![0xff, 0xd8];
    // Progressive, grey, as many pixels as are allowed, and one scan after another.
    source.extend([0xff, 0xc2, 0, 11, 8, 0x04, 0, 0x7f, 0xff, 1, 1, 0x11, 0]);
    source.extend([0xff, 0xdb, 0, 67, 0]);
    source.extend([1; 64]);
    // One code of one bit for each table: a block ends at once.
    for class in [0x00, 0x10] {
        source.extend([0xff, 0xc4, 0, 20, class, 1]);
        source.extend([0; 15]);
        source.push(0);
    }
    for _ in 0..20_000 {
        source.extend([0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0x00, 0x00, 0x00]);
    }
    source.extend([0xff, 0xd9]);
    let started = Instant::now();
    match render(&source).await {
        Ok(_) | Err(DecodeError::Died(_) | DecodeError::Refused(Refusal::Damaged)) => {}
        other => panic!("{other:?}"),
    }
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

/// A few kilobytes that are much work: the process is killed when it has had its share.
#[tokio::test]
async fn processor_time_is_bounded() {
    let source = make::standing(1000, 128);
    assert!(source.len() < 1024 * 1024, "{}", source.len());
    let limits = Limits { processor_time: Duration::from_secs(1), ..Limits::default() };
    let asked = Size { animated: true, ..size(Method::Scale, 900, 900) };
    let died = decoder_with(limits).render(pieces(&source), asked).await;
    assert!(matches!(died, Err(DecodeError::Died(_))), "{died:?}");
}

/// Not even a picture that is allowed gets more memory than is allowed.
#[tokio::test]
async fn memory_is_bounded() {
    let rows = make::deflated_zeros(3000 * (4000 * 3 + 1));
    let chunks = [(b"IHDR", make::png_header(4000, 3000)), (b"IDAT", rows), (b"IEND", Vec::new())];
    let source = make::png(&chunks);
    let rendered = render(&source).await.expect("it is within the limits");
    assert_eq!((rendered.facts.width, rendered.facts.height), (320, 240));
    let limits = Limits { memory: 24 * 1024 * 1024, ..Limits::default() };
    let died = decoder_with(limits).render(pieces(&source), size(Method::Scale, 320, 240)).await;
    assert!(matches!(died, Err(DecodeError::Died(_))), "{died:?}");
}

/// It is killed, and does not keep its place from the next.
#[tokio::test]
async fn time_is_bounded() {
    use futures_util::StreamExt;
    let limits = Limits { at_once: 1, time: Duration::from_millis(300), ..Limits::default() };
    let decoder = decoder_with(limits);
    let source = make::file(make::corners(400, 400), ImageFormat::Png);
    let never = pieces(&source).chain(futures_util::stream::pending());
    let died = decoder.render(never, size(Method::Scale, 32, 32)).await;
    assert!(matches!(died, Err(DecodeError::Died(_))), "{died:?}");
    let decoder = decoder_with(Limits { at_once: 1, ..Limits::default() });
    decoder.inspect(pieces(&source)).await.expect("a picture");
}

#[tokio::test]
async fn a_file_of_too_many_bytes_is_refused() {
    let mut source = make::file(make::corners(400, 400), ImageFormat::Png);
    source.resize(65 * 1024 * 1024, 0);
    assert_eq!(refusal(&source).await, Refusal::TooLarge);
}

/// Cut off or changed anywhere: an answer, in time.
#[tokio::test]
async fn damaged_files_are_answered() {
    let image = make::gradient(64, 48);
    for format in
        [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Bmp]
    {
        let whole = make::file(image.clone(), format);
        for part in 1..8 {
            let cut = &whole[..whole.len() * part / 8];
            let mut changed = whole.clone();
            let middle = changed.len() * part / 8;
            let end = (middle + 16).min(changed.len());
            changed[middle..end].iter_mut().for_each(|byte| *byte ^= 0xa5);
            for source in [cut, &changed] {
                match render(source).await {
                    Ok(_) | Err(DecodeError::Refused(_)) => {}
                    other => panic!("{format:?} {part}: {other:?}"),
                }
            }
        }
    }
}

/// A file that cannot be read to its end is no reason to believe that the picture is bad.
#[tokio::test]
async fn a_store_that_fails_is_told_from_a_bad_picture() {
    use futures_util::StreamExt;
    let source = make::file(make::corners(400, 400), ImageFormat::Png);
    let broken = futures_util::stream::iter([Err(std::io::Error::other("a lost chunk"))]);
    let failed = decoder().inspect(pieces(&source).chain(broken)).await;
    assert!(matches!(failed, Err(DecodeError::Source(_))), "{failed:?}");
}
