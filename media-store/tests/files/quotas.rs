use kith_media_store::{Error, Meta, Quota, quota::What, quota::Whose};

use crate::harness::{content, fixture, fixture_with, pieces};

#[tokio::test]
async fn what_a_user_keeps_is_limited() {
    let quota = Quota { bytes: Some(5000), files: Some(3) };
    let here = fixture_with(|policy| policy.user = quota).await;
    here.upload(&content(1, 3000)).await.expect("room");
    let refused = here.upload(&content(2, 2001)).await;
    let Err(Error::Quota(exceeded)) = refused else { panic!("{refused:?}") };
    assert_eq!((exceeded.whose, exceeded.what), (Whose::User, What::Bytes));
    here.upload(&content(3, 1000)).await.expect("room");
    let last = here.upload(&content(4, 1000)).await.expect("room").mxc;
    let refused = here.upload(b"").await;
    let Err(Error::Quota(exceeded)) = refused else { panic!("{refused:?}") };
    assert_eq!((exceeded.what, exceeded.limit), (What::Files, 3));
    here.media.delete(&last, true).await.expect("deleted");
    here.upload(&content(5, 1000)).await.expect("room again");
    let usage = here.media.usage_of(&here.alice).await.expect("counted");
    assert_eq!((usage.bytes, usage.files, usage.pending), (5000, 3, 0));
    let body = pieces(b"bob", 3);
    let bob = here.media.upload(&here.bob, Meta::default(), None, body).await;
    bob.expect("bob has his own");
}

#[tokio::test]
async fn what_a_team_keeps_is_limited() {
    let quota = Quota { bytes: Some(5000), files: None };
    let here = fixture_with(|policy| policy.team = quota).await;
    here.upload(&content(1, 3000)).await.expect("room");
    let body = pieces(&content(2, 3000), 300);
    let refused = here.media.upload(&here.bob, Meta::default(), None, body).await;
    let Err(Error::Quota(exceeded)) = refused else { panic!("{refused:?}") };
    assert_eq!((exceeded.whose, exceeded.what), (Whose::Team, What::Bytes));
    let usage = here.media.usage_of_team().await.expect("counted");
    assert_eq!((usage.bytes, usage.files), (3000, 1));
    assert_eq!(here.media.usage_by_user(None, 10).await.expect("listed").len(), 2);
}

/// An upload that meets the limit goes on when there is room again.
#[tokio::test]
async fn an_upload_in_parts_counts_from_its_first_byte() {
    let quota = Quota { bytes: Some(5000), files: None };
    let here = fixture_with(|policy| policy.user = quota).await;
    let first = here.upload(&content(1, 3000)).await.expect("room").mxc;
    let (mxc, file) = (here.reserve().await, content(2, 4000));
    let refused = here.append(&mxc, 0, &file, true).await;
    assert!(matches!(refused, Err(Error::Quota(_))), "{refused:?}");
    here.media.delete(&first, true).await.expect("deleted");
    let at = here.media.status(&mxc, &here.alice).await.expect("there").row.size;
    assert!(at <= 2000, "{at}");
    here.append(&mxc, at, &file[at as usize..], true).await.expect("whole");
    assert_eq!(here.content(&mxc).await, Some(file));
    assert_eq!(here.media.usage_of(&here.alice).await.expect("counted").bytes, 4000);
}

#[tokio::test]
async fn only_a_few_uris_wait_for_their_content() {
    let here = fixture().await;
    let mut reserved = Vec::new();
    for _ in 0..5 {
        reserved.push(here.reserve().await);
    }
    let reserve = || here.media.reserve(&here.alice, Meta::default(), None);
    assert!(matches!(reserve().await, Err(Error::TooManyPending { limit: 5 })));
    here.append(&reserved[0], 0, b"a part", false).await.expect("appended");
    assert!(matches!(reserve().await, Err(Error::TooManyPending { limit: 5 })));
    here.append(&reserved[0], 6, b"", true).await.expect("whole");
    reserve().await.expect("room");
    here.media.cancel(&reserved[1], &here.alice).await.expect("cancelled");
    reserve().await.expect("room");
    assert!(matches!(reserve().await, Err(Error::TooManyPending { limit: 5 })));
}

/// The numbers of many uploads at once are those of one after the other.
#[tokio::test]
async fn counters_are_right_after_uploads_at_the_same_time() {
    let here = fixture().await;
    let uploads: Vec<_> = (0..20).map(|n| content(n, 100 * n as usize)).collect();
    let all = uploads.iter().map(|file| here.upload(file));
    for uploaded in futures_util::future::join_all(all).await {
        uploaded.expect("uploaded");
    }
    let usage = here.media.usage_of(&here.alice).await.expect("counted");
    assert_eq!((usage.bytes, usage.files), (100 * (0..20).sum::<u64>(), 20));
}
