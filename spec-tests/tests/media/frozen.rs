//! The paths where nobody signs in.

use kith_spec_tests::TestServer;

use crate::support::{create, media, upload};

#[tokio::test]
async fn old_paths_show_no_new_file() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let new = media(&upload(&alice, "image/png", b"new").await);
    for version in ["v3", "r0", "v1"] {
        for path in [
            format!("download/{new}"),
            format!("download/{new}/a.png"),
            format!("thumbnail/{new}?width=32&height=32"),
            "download/kith.test/unknown".to_owned(),
            "download/..%2F../x".to_owned(),
        ] {
            let path = format!("/_matrix/media/{version}/{path}");
            server.anonymous().get(&path).await.error(404, "M_NOT_FOUND");
            alice.get(&path).await.error(404, "M_NOT_FOUND");
        }
    }
}

#[tokio::test]
async fn old_paths_show_files_of_before_the_freeze() {
    // Everything is older than the year 2100.
    let year_2100 = Some(4_102_444_800_000);
    let server = TestServer::with(|config| config.media.unauthenticated_before = year_2100).await;
    let alice = server.register("alice").await;
    let old = media(&upload(&alice, "image/png", b"old").await);
    let nobody = server.anonymous();
    for version in ["v3", "r0", "v1"] {
        let answer = nobody.get(&format!("/_matrix/media/{version}/download/{old}")).await;
        assert_eq!((answer.status, answer.text.as_str()), (200, "old"));
        assert!(answer.headers.contains_key("content-security-policy"));
        let path = format!("/_matrix/media/{version}/download/{old}/b.png");
        let named = nobody.get(&path).await;
        assert!(named.headers["content-disposition"].to_str().unwrap().contains("b.png"));
    }
    // What is not there yet is no old file.
    let unfinished = create(&alice).await;
    nobody.get(&format!("/_matrix/media/v3/download/{unfinished}")).await.error(404, "M_NOT_FOUND");
}
