//! Files cross as they are.

use kith_spec_tests::TestUser;
use reqwest::Method;

use crate::*;

#[tokio::test]
async fn files_are_downloaded_from_the_other_server() {
    let both = Both::start().await;
    for (from, to) in [(&both.alice, &both.bob), (&both.bob, &both.alice)] {
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let uri = upload(from, "application/octet-stream", bytes.clone()).await;
        let media = uri.strip_prefix("mxc://").unwrap();
        let answer = to.request(Method::GET, &format!("v1/media/download/{media}"), None).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(answer.headers["content-length"], "200000");
    }
}

async fn upload(user: &TestUser, content_type: &str, bytes: Vec<u8>) -> String {
    let headers = [("content-type", content_type)];
    let answer =
        user.request_with(Method::POST, "/_matrix/media/v3/upload", Some(bytes), &headers).await;
    answer.ok()["content_uri"].as_str().unwrap().to_owned()
}
