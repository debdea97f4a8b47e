use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use kith_media_store::Error;

use crate::harness::{NEVER, content, fixture};

#[tokio::test]
async fn any_range_is_the_bytes_of_the_whole() {
    let here = fixture().await;
    let file = content(1, 4500);
    let mxc = here.upload(&file).await.expect("uploaded").mxc;
    for start in [0, 1, 999, 1000, 1001, 2500, 4499, 4500, 9000] {
        for end in [0, 1, 1000, 1001, 3000, 4499, 4500, 5000] {
            let download = here.media.open_file(&mxc, Some(start..end), NEVER).await;
            let download = download.expect("readable").expect("there");
            let parts: Vec<Bytes> = download.bytes.try_collect().await.expect("whole");
            let (from, to) = (start.min(4500) as usize, end.min(4500) as usize);
            let expected = if from < to { &file[from..to] } else { &[] };
            assert!(parts.concat() == expected, "{start}..{end}");
        }
    }
}

#[tokio::test]
async fn whoever_waits_for_a_file_gets_it_when_it_is_whole() {
    let here = fixture().await;
    let mxc = here.reserve().await;
    let early = here.media.find(&mxc, Duration::from_millis(5)).await;
    assert!(matches!(early, Err(Error::NotYetUploaded)), "{early:?}");
    let (media, of) = (here.media.clone(), mxc.clone());
    let waiting = tokio::spawn(async move { media.find(&of, Duration::from_secs(60)).await });
    tokio::task::yield_now().await;
    here.append(&mxc, 0, b"some", false).await.expect("appended");
    assert!(!waiting.is_finished());
    here.append(&mxc, 4, b"thing", true).await.expect("whole");
    let row = waiting.await.expect("waited").expect("readable").expect("there");
    assert_eq!(row.size, 9);
}

#[tokio::test]
async fn whoever_waits_learns_that_an_upload_was_cancelled() {
    let here = fixture().await;
    let mxc = here.reserve().await;
    let (media, of) = (here.media.clone(), mxc.clone());
    let waiting = tokio::spawn(async move { media.find(&of, Duration::from_secs(60)).await });
    tokio::task::yield_now().await;
    here.media.cancel(&mxc, &here.alice).await.expect("cancelled");
    assert_eq!(waiting.await.expect("waited").expect("readable"), None);
}
