//! `kith serve`: starting, answering, stopping, and what it says when it cannot.

use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    kith::{Place, Running},
    user,
};

/// The answer to a plain HTTP/1.1 request: status line, then the rest.
pub(crate) fn get(address: SocketAddr, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).expect("connected");
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    answer(&mut BufReader::new(stream))
}

fn answer(stream: &mut impl BufRead) -> (String, String) {
    let mut status = String::new();
    stream.read_line(&mut status).expect("a status line");
    let mut rest = String::new();
    stream.read_to_string(&mut rest).expect("an answer");
    (status.trim().to_owned(), rest)
}

#[test]
fn a_server_without_configuration_answers_and_stops_on_sigterm() {
    let place = Place::new();
    let kith = place.serve();
    assert!(kith.welcome.contains("Team localhost: homeserver URL http://localhost:"));
    assert!(kith.welcome.contains("works on this machine only"));

    let (status, body) = get(kith.address(), "/health");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.ends_with("{\"status\":\"ok\"}"), "{body}");
    let (status, body) = get(kith.address(), "/_matrix/client/versions");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("\"versions\""), "{body}");

    let ended = kith.stop();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(place.path().join("kith-data/database").is_dir());
}

#[test]
fn sigint_stops_it_too_and_a_second_start_opens_the_same_data() {
    let place = Place::new();
    let kith = place.serve();
    kith.signal(Signal::INT);
    assert_eq!(kith.end().code, Some(0));
    assert_eq!(place.serve().stop().code, Some(0));
}

/// A request whose headers have arrived is answered although its body comes after the signal.
#[test]
fn what_was_accepted_is_answered_before_the_end() {
    let place = Place::new();
    let kith = place.serve();
    let mut stream = TcpStream::connect(kith.address()).expect("connected");
    let request = "GET /_matrix/client/versions HTTP/1.1\r\nHost: localhost\r\n\
                   Content-Length: 2\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    continued(&mut reader);

    kith.signal(Signal::TERM);
    // It listens no longer: it has seen the signal.
    while TcpStream::connect(kith.address()).is_ok() {}
    stream.write_all(b"{}").expect("sent");
    let (status, body) = answer(&mut reader);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("\"versions\""), "{body}");
    assert_eq!(kith.end().code, Some(0));
}

/// A client that waits for news need not wait, nor the operator for it.
#[test]
fn a_long_poll_is_answered_when_the_server_stops() {
    let place = Place::new();
    let created = user::run_with_line(&place, &["user", "create", "ann"], "password");
    assert_eq!(created.code, Some(0), "{}", created.stderr);
    let kith = place.serve();
    let (_, session) = user::log_in(kith.address(), "ann", "password");
    let token = session["access_token"].as_str().expect("a token");
    let path = "/_matrix/client/v3/sync";
    let (status, sync) = user::request(kith.address(), "GET", path, token, &json!({}));
    assert_eq!(status, 200, "{sync}");
    let since = sync["next_batch"].as_str().expect("a token");

    let mut stream = TcpStream::connect(kith.address()).expect("connected");
    let request = format!(
        "GET {path}?timeout=60000&since={since} HTTP/1.1\r\nHost: localhost\r\n\
         Authorization: Bearer {token}\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    );
    let mut reader = BufReader::new(stream.try_clone().expect("a second handle"));
    stream.write_all(request.as_bytes()).expect("sent");
    continued(&mut reader);
    stream.write_all(b"{}").expect("sent");

    let start = Instant::now();
    let ended = std::thread::spawn(move || kith.stop());
    let (status, body) = answer(&mut reader);
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(body.contains("next_batch"), "{body}");
    assert_eq!(ended.join().expect("stopped").code, Some(0));
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// Waits for `100 Continue`: the handler has the headers and waits for the body.
fn continued(reader: &mut impl BufRead) {
    let (mut status, mut empty) = (String::new(), String::new());
    reader.read_line(&mut status).expect("a line");
    assert!(status.starts_with("HTTP/1.1 100"), "{status}");
    reader.read_line(&mut empty).expect("an empty line");
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("bound").to_string();
    let ended = Place::new().run(&["serve", "--listen", &address]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&format!("cannot listen on {address}")), "{}", ended.stderr);
    assert!(ended.stderr.contains("another program has this port"), "{}", ended.stderr);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let place = Place::new();
    place.write("file", "");
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--data", "file/data"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot write to the data folder file/data"), "{}", ended.stderr);
}

#[test]
fn a_database_in_use_is_not_opened_twice() {
    let place = Place::new();
    let kith = place.serve();
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("in use by another process"), "{}", ended.stderr);
    assert_eq!(get(kith.address(), "/health").0, "HTTP/1.1 200 OK", "the first is undisturbed");
}

#[test]
fn a_database_of_another_version_or_engine_is_refused() {
    let place = Place::new();
    place.serve().stop();
    let mut other_engine = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    other_engine.env("KITH_STORAGE__ENGINE", "fjall");
    let ended = crate::kith::Ended::from(other_engine.output().expect("kith runs"));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("sled"), "{}", ended.stderr);

    let marker = "kith-data/database/kith-db.toml";
    let newer = place.read(marker).replace("format = 1", "format = 999");
    place.write(marker, &newer);
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("has format \"999\""), "{}", ended.stderr);
}

#[test]
fn metrics_are_on_a_listener_of_their_own() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("KITH_METRICS__LISTEN", "127.0.0.1:0");
    let kith = Running::start(command);
    let metrics = kith
        .welcome
        .lines()
        .find_map(|line| line.trim().strip_prefix("Metrics on http://")?.strip_suffix("/metrics"))
        .expect("the address of the metrics")
        .parse()
        .expect("an address");
    get(kith.address(), "/_matrix/client/versions");
    get(kith.address(), "/no/such/path");

    let (status, text) = get(metrics, "/metrics");
    assert_eq!(status, "HTTP/1.1 200 OK");
    for line in [
        "kith_http_requests_total{method=\"GET\",endpoint=\"/_matrix/client/versions\",status=\"200\"} 1",
        "kith_http_requests_total{method=\"GET\",endpoint=\"none\",status=\"404\"} 1",
        "kith_http_request_duration_seconds_count{method=\"GET\",endpoint=\"/_matrix/client/versions\"} 1",
        "kith_stream_position{team=\"localhost\"} ",
        "kith_users{team=\"localhost\"} 0",
        "kith_rooms{team=\"localhost\"} 0",
        "kith_database_size_bytes ",
        "kith_resident_memory_bytes ",
    ] {
        assert!(text.contains(line), "{line}:\n{text}");
    }
    assert!(get(kith.address(), "/metrics").0.contains("404"), "not where clients are served");
    assert!(get(metrics, "/_matrix/client/versions").0.contains("404"));
}

#[test]
fn a_json_log_is_one_object_a_line_and_holds_no_secret() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command
        .env("KITH_LOG__JSON", "true")
        .env("KITH_LOG__FILTER", "trace")
        .env("KITH_REGISTRATION__SHARED_SECRET", "hunter2-hunter2")
        .env("KITH_REGISTRATION__TOKENS", "[{ token = 'swordfish' }]");
    let kith = Running::start(command);
    get(kith.address(), "/_matrix/client/versions?access_token=bearer-of-bad-news");
    let log = kith.stop().stderr;
    let entries: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let answered = entries.iter().find(|entry| entry["fields"]["message"] == "answered");
    let answered = &answered.expect("the request is in the log")["fields"];
    assert_eq!(answered["endpoint"], "/_matrix/client/versions");
    assert_eq!(answered["status"], 401);
    for secret in ["hunter2", "swordfish", "bearer-of-bad-news"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_listener_for_federation_serves_no_client() {
    let place = Place::new();
    place.write(
        "kith.toml",
        "[[listeners]]\naddress = \"127.0.0.1:0\"\nserves = [\"client\"]\n\
         [[listeners]]\naddress = \"127.0.0.1:0\"\nserves = [\"federation\"]\n",
    );
    let kith = Running::start(place.command(&["serve"]));
    let [client, federation] = kith.addresses[..] else { panic!("{}", kith.welcome) };
    assert!(get(client, "/_matrix/client/versions").0.contains("200"));
    let (status, body) = get(federation, "/_matrix/client/versions");
    assert!(status.contains("404") && body.contains("M_UNRECOGNIZED"), "{status} {body}");
    assert!(get(federation, "/health").0.contains("200"));
}
