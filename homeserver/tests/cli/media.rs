//! `kith media`: files looked after, with the server and without it.

use serde_json::json;

use crate::{
    kith::{Ended, Place},
    user::{log_in, request, run_with_line},
};

/// A server with an administrator, two files, and how to speak with it.
struct Scene {
    place: Place,
    files: Vec<String>,
    token: String,
}

fn scene() -> (Scene, crate::kith::Running) {
    let place = Place::new();
    let ended = run_with_line(&place, &["user", "create", "ann", "--admin"], "correct horse\n");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let running = place.serve();
    let (_, session) = log_in(running.address(), "ann", "correct horse");
    let token = session["access_token"].as_str().expect("a token").to_owned();
    let files = ["one", "another"].map(|content| {
        let path = "/_matrix/media/v3/upload";
        let (status, answer) = request(running.address(), "POST", path, &token, &json!(content));
        assert_eq!(status, 200, "{answer}");
        answer["content_uri"].as_str().expect("a URI").to_owned()
    });
    place.write("token", &token);
    (Scene { place, files: files.into(), token }, running)
}

fn good(ended: Ended) -> String {
    assert_eq!(ended.code, Some(0), "{} {}", ended.stdout, ended.stderr);
    ended.stdout
}

#[test]
fn files_are_looked_after_while_the_server_runs() {
    let (Scene { place, files, token }, running) = scene();
    let url = format!("http://{}", running.address());
    let media = |arguments: &[&str]| {
        let reach = ["--url", &url, "--token-file", "token"];
        place.run(&[&["media"], arguments, &reach].concat())
    };
    assert!(good(media(&["usage"])).contains("own files: 2, 14 bytes"));
    let list = good(media(&["list"]));
    assert!(files.iter().all(|file| list.contains(file.as_str())), "{list}");
    good(media(&["quarantine", &files[0]]));
    assert!(good(media(&["list"])).contains("complete,withheld"));
    let path = files[0].replace("mxc://", "/_matrix/client/v1/media/download/");
    assert_eq!(request(running.address(), "GET", &path, &token, &json!({})).0, 404);
    good(media(&["quarantine", "--end", &files[0]]));
    good(media(&["delete", &files[0]]));
    good(media(&["restore", &files[0]]));
    for job in ["gc", "scrub", "fsck", "verify"] {
        good(media(&[job]));
    }
    let unknown = media(&["delete", "mxc://localhost/unknown"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("There is no such file"), "{}", unknown.stderr);
    place.write("token", "wrong");
    assert_eq!(media(&["usage"]).code, Some(1));
    // Its folder is in use.
    assert_eq!(place.run(&["media", "usage"]).code, Some(1));
}

#[test]
fn files_are_looked_after_while_the_server_does_not_run() {
    let (Scene { place, files, .. }, running) = scene();
    assert_eq!(running.stop().code, Some(0));
    let media = |arguments: &[&str]| place.run(&[&["media"], arguments].concat());
    assert!(good(media(&["usage"])).contains("own files: 2, 14 bytes"));
    good(media(&["quarantine", &files[0]]));
    assert!(good(media(&["list"])).contains("withheld"));
    assert!(good(media(&["verify"])).contains("files: 2"));
    assert!(good(media(&["fsck", "--full"])).contains("chunks: 2"));
    assert!(good(media(&["rebuild"])).contains("files: 0"));
    let elsewhere = place.path().join("elsewhere");
    let moved = good(media(&["move", &format!("fs:{}", elsewhere.display())]));
    assert!(moved.contains("finished: true"), "{moved}");
    good(media(&["delete", "--for-good", &files[1]]));
    assert!(!good(media(&["list"])).contains(&files[1]));
    assert_eq!(media(&["restore", &files[1]]).code, Some(1));
    assert_eq!(media(&["delete", "not a file"]).code, Some(2));
    assert_eq!(place.run(&["media", "usage", "--team", "nobody.test"]).code, Some(1));
}
