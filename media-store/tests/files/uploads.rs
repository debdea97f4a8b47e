use std::time::Duration;

use futures_util::{StreamExt, future::join_all, stream};
use kith_media_store::{Append, Error, Meta, State};

use crate::harness::{
    CHUNK, LARGEST, NEVER, broken_off, content, fixture, fixture_with, hex, pieces, sha256,
};

#[tokio::test]
async fn a_file_comes_back_as_it_was_uploaded() {
    let here = fixture().await;
    for length in [0, 1, 999, 1000, 1001, 5000, LARGEST as usize] {
        let file = content(length as u64, length);
        let uploaded = here.upload(&file).await.expect("uploaded");
        assert_eq!(uploaded.row.state, State::Complete);
        assert_eq!(uploaded.row.size, length as u64);
        assert_eq!(uploaded.row.sha256, hex(sha256(&file)));
        assert_eq!(here.content(&uploaded.mxc).await, Some(file), "{length} bytes");
    }
}

/// Each has first what the other has last: nobody may wait for a chunk while others wait for his.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn files_of_the_same_chunks_in_any_order_come_at_the_same_time() {
    let length = 128 << 10;
    let here = fixture_with(|policy| {
        policy.chunk = length as u32;
        policy.largest = 16 << 20;
    })
    .await;
    for round in 0..10 {
        let chunks: Vec<Vec<u8>> = (0..4).map(|n| content(round * 10 + n, length)).collect();
        let mut backwards = chunks.clone();
        backwards.reverse();
        let same = vec![chunks[0].clone(); 4];
        let files = [chunks, backwards, same].map(|chunks| chunks.concat());
        let uploads = files.iter().cycle().take(12).map(|file| {
            here.media.upload(&here.alice, Meta::default(), None, pieces(file, 64 << 10))
        });
        let uploaded = tokio::time::timeout(Duration::from_mins(1), join_all(uploads)).await;
        let uploaded = uploaded.expect("they do not wait for each other");
        for (uploaded, file) in uploaded.into_iter().zip(files.iter().cycle()) {
            let mxc = uploaded.expect("uploaded").mxc;
            assert_eq!(here.content(&mxc).await.as_ref(), Some(file));
        }
    }
    // Nothing lies about in the index of what is to be checked, and every object has its row.
    let report = here.media.chunks().collect(1_000_000).await.expect("collected");
    assert_eq!((report.orphans, report.removed), (0, 0), "{report:?}");
}

#[tokio::test]
async fn nothing_is_left_of_an_upload_that_fails() {
    let here = fixture().await;
    let file = content(1, LARGEST as usize + 1);
    let result = here.upload(&file).await;
    assert!(matches!(result, Err(Error::TooLarge { limit: LARGEST })), "{result:?}");
    let body = broken_off(&file[..7000], 300);
    let result = here.media.upload(&here.alice, Meta::default(), None, body).await;
    assert!(matches!(result, Err(Error::BrokenOff(_))), "{result:?}");
    let announced = Some(500);
    let body = pieces(&file[..499], 300);
    let result = here.media.upload(&here.alice, Meta::default(), announced, body).await;
    assert!(matches!(result, Err(Error::WrongLength { length: 500, size: 499 })), "{result:?}");
    assert_eq!(here.media.all(None, 10).await.expect("listed"), []);
    assert_eq!(here.media.usage_of(&here.alice).await.expect("counted"), Default::default());
}

#[tokio::test]
async fn an_upload_in_parts_goes_on_where_it_broke_off() {
    let here = fixture().await;
    let file = content(2, 4321);
    let mxc = here.reserve().await;
    let request = Append::default();
    let broken = broken_off(&file[..1700], 300);
    let result = here.media.append(&mxc, &here.alice, request, broken).await;
    assert!(matches!(result, Err(Error::BrokenOff(_))), "{result:?}");
    let status = here.media.status(&mxc, &here.alice).await.expect("it goes on");
    assert_eq!(status.row.size, 1700);
    for wrong in [0, 1699, 1701] {
        let result = here.append(&mxc, wrong, &file[..1], false).await;
        let expected = Error::WrongOffset { expected: 1700, provided: wrong };
        assert_eq!(result.expect_err("refused").to_string(), expected.to_string());
    }
    assert_eq!(here.append(&mxc, 1700, &file[1700..1701], false).await.expect("ok").row.size, 1701);
    let whole = here.append(&mxc, 1701, &file[1701..], true).await.expect("whole");
    assert_eq!(whole.row.sha256, hex(sha256(&file)));
    assert_eq!(here.content(&mxc).await, Some(file));
    let extents = here.media.extents(&mxc, 0).await.expect("listed");
    let lengths: Vec<u32> = extents.iter().map(|extent| extent.length).collect();
    assert_eq!(lengths, [CHUNK, CHUNK, CHUNK, CHUNK, 321]);
}

#[tokio::test]
async fn the_last_request_may_bring_nothing() {
    let here = fixture().await;
    let file = content(3, 2500);
    let mxc = here.reserve().await;
    here.append(&mxc, 0, &file, false).await.expect("appended");
    let whole = here.append(&mxc, 2500, &[], true).await.expect("whole");
    assert_eq!(whole.row.state, State::Complete);
    assert_eq!(here.content(&mxc).await, Some(file));
    let again = here.append(&mxc, 2500, &[], true).await;
    assert!(matches!(again, Err(Error::Exists)), "{again:?}");
    let cancelled = here.media.cancel(&mxc, &here.alice).await;
    assert!(matches!(cancelled, Err(Error::Exists)), "{cancelled:?}");
}

#[tokio::test]
async fn an_upload_may_begin_again() {
    let here = fixture().await;
    let file = content(4, 3000);
    let mxc = here.reserve().await;
    here.append(&mxc, 0, &content(5, 1500), false).await.expect("appended");
    let request = Append { restart: true, complete: true, ..Append::default() };
    let whole = here.media.append(&mxc, &here.alice, request, pieces(&file, 300)).await;
    assert_eq!(whole.expect("whole").row.size, 3000);
    assert_eq!(here.content(&mxc).await, Some(file));
    let usage = here.media.usage_of(&here.alice).await.expect("counted");
    assert_eq!((usage.bytes, usage.files, usage.pending), (3000, 1, 0));
}

#[tokio::test]
async fn an_upload_is_its_users_own() {
    let here = fixture().await;
    let mxc = here.reserve().await;
    let result = here.media.append(&mxc, &here.bob, Append::default(), pieces(b"x", 1)).await;
    assert!(matches!(result, Err(Error::NotYours)), "{result:?}");
    assert!(matches!(here.media.status(&mxc, &here.bob).await, Err(Error::NotYours)));
    assert!(matches!(here.media.cancel(&mxc, &here.bob).await, Err(Error::NotYours)));
    here.media.cancel(&mxc, &here.alice).await.expect("cancelled");
    assert!(matches!(here.media.status(&mxc, &here.alice).await, Err(Error::NotFound)));
    let result = here.append(&mxc, 0, b"x", true).await;
    assert!(matches!(result, Err(Error::NotFound)), "{result:?}");
}

#[tokio::test]
async fn a_newer_request_ends_the_older_and_keeps_its_bytes() {
    let here = fixture().await;
    let file = content(6, 3000);
    let mxc = here.reserve().await;
    // Comes to no end by itself.
    let body = pieces(&file[..1234], 100).chain(stream::pending());
    let (media, older, alice) = (here.media.clone(), mxc.clone(), here.alice.clone());
    let older =
        tokio::spawn(async move { media.append(&older, &alice, Append::default(), body).await });
    // The first chunk is durable before anybody asks.
    while here.media.record(&mxc).await.expect("readable").expect("there").size < 1000 {
        tokio::task::yield_now().await;
    }
    let status = here.media.status(&mxc, &here.alice).await.expect("its turn");
    assert!(matches!(older.await.expect("ended"), Err(Error::Superseded)));
    let size = status.row.size as usize;
    assert!((1000..=1234).contains(&size), "{size}");
    here.append(&mxc, size as u64, &file[size..], true).await.expect("whole");
    assert_eq!(here.content(&mxc).await, Some(file));
}

#[tokio::test]
async fn a_file_that_is_not_what_its_digest_says_is_refused() {
    let here = fixture().await;
    let file = content(7, 2500);
    let mxc = here.reserve().await;
    let request = |digest| Append {
        complete: true,
        restart: true,
        sha256: Some(digest),
        ..Append::default()
    };
    let body = || pieces(&file, 300);
    let result = here.media.append(&mxc, &here.alice, request([7; 32]), body()).await;
    assert!(matches!(result, Err(Error::WrongDigest)), "{result:?}");
    assert!(matches!(here.media.find(&mxc, NEVER).await, Err(Error::NotYetUploaded)));
    here.media.append(&mxc, &here.alice, request(sha256(&file)), body()).await.expect("whole");
}

#[tokio::test]
async fn a_silent_sender_is_not_waited_for() {
    let here =
        crate::harness::fixture_with(|policy| policy.silence = Duration::from_millis(20)).await;
    let mxc = here.reserve().await;
    let body = pieces(&[1; 1500], 100).chain(stream::pending());
    let result = here.media.append(&mxc, &here.alice, Append::default(), body).await;
    assert!(matches!(result, Err(Error::BrokenOff(_))), "{result:?}");
    assert_eq!(here.media.status(&mxc, &here.alice).await.expect("kept").row.size, 1500);
}

#[tokio::test]
async fn closing_the_store_keeps_what_has_come() {
    let here = fixture().await;
    let mxc = here.reserve().await;
    let body = pieces(&[1; 1500], 100).chain(stream::pending());
    let (media, of, alice) = (here.media.clone(), mxc.clone(), here.alice.clone());
    let upload =
        tokio::spawn(async move { media.append(&of, &alice, Append::default(), body).await });
    while here.media.record(&mxc).await.expect("readable").expect("there").size < 1000 {
        tokio::task::yield_now().await;
    }
    here.media.close(Duration::ZERO).await;
    assert!(matches!(upload.await.expect("ended"), Err(Error::Closed)));
    let row = here.media.record(&mxc).await.expect("readable").expect("there");
    assert_eq!(row.size, 1500);
}

/// One byte more at the front changes one chunk, not all.
#[tokio::test]
async fn a_file_cut_by_content_shares_its_chunks_with_one_like_it() {
    let here = crate::harness::fixture_with(|policy| policy.largest = 64 << 20).await;
    let file = content(8, 24 << 20);
    let shifted = [b"x", file.as_slice()].concat();
    let meta = || Meta { cut_by_content: true, ..Meta::default() };
    let mut chunks = Vec::new();
    for file in [&file, &shifted] {
        let body = pieces(file, 100_000);
        let uploaded = here.media.upload(&here.alice, meta(), None, body).await;
        let mxc = uploaded.expect("uploaded").mxc;
        assert!(here.content(&mxc).await.as_ref() == Some(file), "the same bytes");
        chunks.push(here.media.extents(&mxc, 0).await.expect("listed"));
    }
    assert!(chunks[0].len() > 4, "{}", chunks[0].len());
    let shared = chunks[1].iter().filter(|of| chunks[0].iter().any(|it| it.chunk == of.chunk));
    assert!(shared.count() + 2 >= chunks[1].len());
}
