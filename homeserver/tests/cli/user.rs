//! `kith user`: accounts made and changed while the server does not run.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::kith::{Ended, Place};

/// Runs `kith` with a line on its standard input.
pub(crate) fn run_with_line(place: &Place, arguments: &[&str], line: &str) -> Ended {
    let mut command = place.command(arguments);
    // Cheap hashes: what is tested is not Argon2.
    command.env("KITH_PASSWORD_HASH", "{ memory = 8, iterations = 1, parallelism = 1 }");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kith starts");
    // It may end without reading.
    let _ = child.stdin.take().expect("piped").write_all(line.as_bytes());
    Ended::from(child.wait_with_output().expect("ended"))
}

pub(crate) fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: &str,
    body: &Value,
) -> (u16, Value) {
    let body = body.to_string();
    let authorization = match token {
        "" => String::new(),
        token => format!("Authorization: Bearer {token}\r\n"),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         {authorization}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer[9..12].parse().expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (status, serde_json::from_str(body).expect("JSON"))
}

pub(crate) fn log_in(address: SocketAddr, user: &str, password: &str) -> (u16, Value) {
    let body = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user },
        "password": password,
    });
    request(address, "POST", "/_matrix/client/v3/login", "", &body)
}

fn whoami(address: SocketAddr, token: &str) -> u16 {
    request(address, "GET", "/_matrix/client/v3/account/whoami", token, &json!({})).0
}

#[test]
fn an_account_made_offline_can_sign_in() {
    let place = Place::new();
    let ended = run_with_line(&place, &["user", "create", "Ann", "--admin"], "correct horse\n");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "made @ann:localhost\n");
    run_with_line(&place, &["user", "create", "bob"], "battery staple");
    let listed = place.run(&["user", "list"]).stdout;
    assert_eq!(listed, "@ann:localhost\tadmin\n@bob:localhost\n");

    let kith = place.serve();
    let (status, answer) = log_in(kith.address(), "ann", "correct horse");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["user_id"], "@ann:localhost");
    assert_eq!(log_in(kith.address(), "ann", "battery staple").0, 403);
    assert_eq!(log_in(kith.address(), "bob", "battery staple").0, 200);
}

#[test]
fn a_taken_or_invalid_name_and_an_empty_password_are_refused() {
    let place = Place::new();
    run_with_line(&place, &["user", "create", "ann"], "password");
    for (name, line, part) in [
        ("ann", "password", "the user name is taken"),
        ("a b", "password", "a user name has only"),
        ("bob", "\n", "the password is empty"),
        ("bob", "", "the password is empty"),
    ] {
        let ended = run_with_line(&place, &["user", "create", name], line);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
    assert_eq!(place.run(&["user", "list"]).stdout, "@ann:localhost\n");
}

#[test]
fn a_new_password_replaces_the_old_one_and_signs_devices_out() {
    let place = Place::new();
    run_with_line(&place, &["user", "create", "ann"], "old password");
    let kith = place.serve();
    let token = |answer: &Value| answer["access_token"].as_str().expect("a token").to_owned();
    let first = token(&log_in(kith.address(), "ann", "old password").1);
    assert_eq!(whoami(kith.address(), &first), 200);
    kith.stop();

    let arguments = ["user", "reset-password", "@ann:localhost"];
    let ended = run_with_line(&place, &arguments, "new password");
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let kith = place.serve();
    assert_eq!(log_in(kith.address(), "ann", "old password").0, 403);
    assert_eq!(whoami(kith.address(), &first), 401);
    let second = token(&log_in(kith.address(), "ann", "new password").1);
    kith.stop();

    let arguments = ["user", "reset-password", "ann", "--keep-devices"];
    assert_eq!(run_with_line(&place, &arguments, "third password").code, Some(0));
    assert_eq!(whoami(place.serve().address(), &second), 200);
}

#[test]
fn a_deactivated_account_cannot_be_used_and_keeps_its_name() {
    let place = Place::new();
    run_with_line(&place, &["user", "create", "ann"], "password");
    let ended = place.run(&["user", "deactivate", "ann", "--erase"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(place.run(&["user", "list"]).stdout, "@ann:localhost\tdeactivated,erased\n");
    let again = run_with_line(&place, &["user", "create", "ann"], "password");
    assert!(again.stderr.contains("taken"), "{}", again.stderr);
    for arguments in [&["user", "deactivate", "ann"][..], &["user", "reset-password", "ann"]] {
        let ended = run_with_line(&place, arguments, "password");
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("@ann:localhost is deactivated"), "{}", ended.stderr);
    }
    assert_eq!(log_in(place.serve().address(), "ann", "password").0, 403);
}

#[test]
fn teams_have_accounts_of_their_own() {
    let place = Place::new();
    place.write("kith.toml", "[[teams]]\nserver_name = \"b.example\"\n");
    run_with_line(&place, &["user", "create", "ann", "--team", "b.example"], "password");
    assert_eq!(place.run(&["user", "list"]).stdout, "");
    assert_eq!(place.run(&["user", "list", "--team", "b.example"]).stdout, "@ann:b.example\n");
    let ended = place.run(&["user", "list", "--team", "c.example"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("there is no team c.example"), "{}", ended.stderr);
    let ended = place.run(&["user", "deactivate", "ann"]);
    assert!(ended.stderr.contains("there is no account ann on localhost"), "{}", ended.stderr);
}

#[test]
fn a_running_server_is_not_disturbed() {
    let place = Place::new();
    let kith = place.serve();
    let ended = run_with_line(&place, &["user", "create", "ann"], "password");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("in use by another process"), "{}", ended.stderr);
    assert_eq!(whoami(kith.address(), "none"), 401);
}
