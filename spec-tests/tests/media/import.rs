//! Files of the layout before there were chunks.

use kith_spec_tests::{TestServer, until};

use crate::support::{content, get};

#[tokio::test]
async fn files_of_the_old_layout_are_imported() {
    let mut server = TestServer::durable().await;
    let alice = server.register("alice").await;
    server.stop().await;
    let folder = server.data_dir().join("media/1");
    let files: Vec<_> =
        (0..5).map(|n| (format!("ab{n}oldfile"), content(n, 70_000 * n as usize))).collect();
    std::fs::create_dir_all(folder.join("ab")).unwrap();
    for (id, file) in &files {
        std::fs::write(folder.join("ab").join(id), file).unwrap();
        let metadata =
            format!(r#"{{"content_type":"text/plain","filename":"ä.txt","size":{}}}"#, file.len());
        std::fs::write(folder.join("ab").join(format!("{id}.json")), metadata).unwrap();
    }
    server.restart().await;
    for (id, file) in &files {
        let media = format!("kith.test/{id}");
        assert!(get(server.address(), &alice, &media).await == *file, "{id}");
    }
    until("the folder is gone", async || (!folder.exists()).then_some(())).await;
    server.restart().await;
    for (id, file) in &files {
        let media = format!("kith.test/{id}");
        assert!(get(server.address(), &alice, &media).await == *file, "{id}");
    }
    let answer = alice.get(&crate::support::download(&format!("kith.test/{}", files[1].0))).await;
    assert_eq!(answer.headers["content-type"], "text/plain");
}
