//! Processes that carry files for a server, before one datastore.

use kith_homeserver::{
    config::{Config, Listener, Secret, Serves},
    media_node::{NodeError, RunningNode},
};
use kith_spec_tests::TestServer;
use reqwest::Method;

use crate::support::{content, download, fetch, media, upload};

const SECRET: &str = "the nodes and the server know it";

/// A server with two nodes before its files.
struct Fleet {
    server: TestServer,
    nodes: Vec<RunningNode>,
    folder: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = TestServer::with(|config| share(config, folder.path())).await;
        let mut fleet = Self { server, nodes: Vec::new(), folder };
        for _ in 0..2 {
            fleet.nodes.push(fleet.node(SECRET).await.unwrap());
        }
        fleet
    }

    async fn node(&self, secret: &str) -> Result<RunningNode, NodeError> {
        let mut config = Config::default();
        share(&mut config, self.folder.path());
        config.media.node_secret = Some(Secret::new(secret));
        config.listeners = vec![Listener {
            address: "127.0.0.1:0".parse().unwrap(),
            tls: None,
            serves: vec![Serves::Client],
            optional: false,
        }];
        let url = format!("http://{}", self.server.address()).parse().unwrap();
        RunningNode::start(config, &url).await
    }
}

/// The datastore, the key and the secret that all of them have.
fn share(config: &mut Config, folder: &std::path::Path) {
    let files = folder.join("files");
    config.media.datastore = Some(Secret::new(format!("fs:{}", files.display())));
    config.media.master_key = Some(folder.join("media.key"));
    config.media.node_secret = Some(Secret::new(SECRET));
}

#[tokio::test]
async fn any_node_answers_as_the_server_would() {
    let fleet = Fleet::start().await;
    let alice = fleet.server.register("alice").await;
    for (seed, size) in [(1, 0), (2, 5), (3, 300_000), (4, 9_000_000)] {
        let file = content(seed, size);
        let path = download(&media(&upload(&alice, "image/png", &file).await));
        let own = fetch(Method::GET, fleet.server.address(), &alice, &path, &[]).await;
        assert!(own.body == file && own.status == 200);
        for node in &fleet.nodes {
            let address = node.addresses[0];
            let carried = fetch(Method::GET, address, &alice, &path, &[]).await;
            assert_eq!(carried.status, 200, "{size}");
            assert!(carried.body == file, "{size}");
            for name in [
                "content-type",
                "content-length",
                "content-disposition",
                "content-security-policy",
                "etag",
                "cache-control",
            ] {
                assert_eq!(carried.header(name), own.header(name), "{name}");
            }
            assert_eq!(carried.header("x-kith-planned"), "");
            if size > 100 {
                let range = [("range", "bytes=10-99")];
                let part = fetch(Method::GET, address, &alice, &path, &range).await;
                assert_eq!((part.status, part.body.as_slice()), (206, &file[10..100]));
            }
            let stranger = fleet.server.anonymous();
            let refused = fetch(Method::GET, address, &stranger, &path, &[]).await;
            assert_eq!(refused.status, 401);
            let missing = format!("{path}x");
            assert_eq!(fetch(Method::GET, address, &alice, &missing, &[]).await.status, 404);
        }
    }
}

#[tokio::test]
async fn a_file_that_came_through_a_node_is_read_through_another_when_that_is_gone() {
    let mut fleet = Fleet::start().await;
    let alice = fleet.server.register("alice").await;
    let first = fleet.nodes.remove(0);
    let file = content(5, 6_000_000);
    let sent = send(first.addresses[0], &alice, &file).await;
    let path = download(&media(&sent));
    first.stop().await;
    let read = fetch(Method::GET, fleet.nodes[0].addresses[0], &alice, &path, &[]).await;
    assert!(read.body == file);
}

/// An upload to this address, not to the server's.
async fn send(
    address: std::net::SocketAddr,
    user: &kith_spec_tests::TestUser,
    file: &[u8],
) -> kith_spec_tests::Answer {
    let user = kith_spec_tests::ReachedServer::at(address)
        .anonymous()
        .with_token(user.access_token.clone().unwrap());
    upload(&user, "video/mp4", file).await
}

#[tokio::test]
async fn whoever_does_not_know_the_secret_is_told_no_plan() {
    let fleet = Fleet::start().await;
    let alice = fleet.server.register("alice").await;
    let file = content(6, 100_000);
    let path = download(&media(&upload(&alice, "image/png", &file).await));
    for secret in ["", "wrong", "the nodes and the server know i"] {
        let headers = [("x-kith-media-node", secret)];
        let answer = fetch(Method::GET, fleet.server.address(), &alice, &path, &headers).await;
        assert_eq!(answer.header("x-kith-planned"), "");
        assert!(answer.body == file);
    }
    // A node with another secret sends what the server sends it.
    let other = fleet.node("another").await.unwrap();
    assert!(fetch(Method::GET, other.addresses[0], &alice, &path, &[]).await.body == file);
}
