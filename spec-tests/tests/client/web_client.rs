//! The page that a browser gets at `/`, and what it may load.

use std::{fs, path::Path};

use kith_spec_tests::TestServer;
use reqwest::{Client, Method, Response, header};

fn bundle(folder: &Path) {
    let write = |name: &str, content: &str| fs::write(folder.join(name), content).expect("write");
    fs::create_dir(folder.join("assets")).expect("a folder");
    write("index.html", "<!doctype html><title>Kith</title>");
    write("assets/app-0123.wasm", "\0asm, as it is");
    write("assets/app-0123.wasm.br", "with brotli");
    write("assets/app-0123.wasm.gz", "with gzip");
}

async fn get(server: &TestServer, path: &str, accept: &str, encodings: &str) -> Response {
    let request = Client::default().get(format!("{}{path}", server.url()));
    let request = request.header(header::ACCEPT, accept);
    request.header(header::ACCEPT_ENCODING, encodings).send().await.expect("an answer")
}

fn of(response: &Response, name: &str) -> String {
    let value = response.headers().get(name).map(|value| value.to_str().expect("text"));
    value.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn browsers_get_the_client_and_clients_the_api() {
    let folder = tempfile::tempdir().expect("a folder");
    bundle(folder.path());
    fs::write(folder.path().with_extension("secret"), "not for browsers").expect("write");
    let server = TestServer::with(|config| {
        config.web_client.directory = Some(folder.path().to_owned());
    })
    .await;

    for view in ["/", "/room/!a:kith.test", "/settings/devices?tab=1"] {
        let page = get(&server, view, "text/html,*/*;q=0.8", "").await;
        assert_eq!(page.status(), 200, "{view}");
        assert_eq!(of(&page, "content-type"), "text/html", "{view}");
        assert_eq!(of(&page, "cache-control"), "no-cache");
        let policy = of(&page, "content-security-policy");
        assert!(policy.contains("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';"));
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe-inline"));
        assert_eq!(of(&page, "x-content-type-options"), "nosniff");
        assert!(page.text().await.expect("text").contains("<title>Kith</title>"), "{view}");
    }

    let program = "/assets/app-0123.wasm";
    for (encodings, encoding, body) in [
        ("", "", "\0asm, as it is"),
        ("gzip", "gzip", "with gzip"),
        ("gzip, deflate, br", "br", "with brotli"),
    ] {
        let asset = get(&server, program, "*/*", encodings).await;
        assert_eq!(asset.status(), 200);
        assert_eq!(of(&asset, "content-type"), "application/wasm");
        assert_eq!(of(&asset, "content-encoding"), encoding);
        assert_eq!(of(&asset, "cache-control"), "public, max-age=31536000, immutable");
        assert_eq!(asset.text().await.expect("text"), body);
    }

    let nobody = server.anonymous();
    nobody.get("/assets/app-9999.wasm").await.error(404, "M_UNRECOGNIZED");
    nobody.get("/nothing.js").await.error(404, "M_UNRECOGNIZED");
    let api = get(&server, "/_matrix/client/v3/nothing", "text/html", "").await;
    assert_eq!(
        (api.status().as_u16(), of(&api, "content-type").as_str()),
        (404, "application/json")
    );
    let posted = Client::default().request(Method::POST, server.url()).send().await;
    assert_eq!(posted.expect("an answer").status(), 405);
    for path in ["/..%2fsecret", "/assets/..%2f..%2f", "/%2e%2e/x.secret", "//etc/passwd"] {
        let outside = get(&server, path, "*/*", "").await;
        assert_eq!(outside.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn without_a_bundle_there_is_no_page() {
    let server = TestServer::start().await;
    server.anonymous().get("/").await.error(404, "M_UNRECOGNIZED");
}
