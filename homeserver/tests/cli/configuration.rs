//! `kith init`, `kith config check`, `kith team`, and wrong settings.

use crate::kith::{Ended, Place};

#[test]
fn init_writes_a_valid_file_once() {
    let place = Place::new();
    let ended = place.run(&["init", "--server-name", "team.example", "--data", "my \"data\""]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let text = place.read("kith.toml");
    assert!(text.contains("\nserver_name = \"team.example\"\n"));
    assert!(text.contains("# "), "with explanations");

    let ended = place.run(&["config", "check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(ended.stdout, "kith.toml is valid\n");

    let ended = place.run(&["init"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("kith.toml exists already"), "{}", ended.stderr);
    assert_eq!(place.read("kith.toml"), text);
}

#[test]
fn every_command_names_key_and_line_of_an_unknown_setting() {
    let place = Place::new();
    place.write("kith.toml", "server_name = \"team.example\"\n[log]\nfilters = \"debug\"\n");
    for arguments in [&["serve"][..], &["config", "check"], &["team", "list"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        let expected = "kith: kith.toml, line 3: unknown field `filters`";
        assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
    }
}

#[test]
fn a_wrong_variable_is_named() {
    let place = Place::new();
    let mut command = place.command(&["config", "check"]);
    command.env("KITH_LOG__JASON", "true");
    let ended = Ended::from(command.output().expect("kith runs"));
    assert_eq!(ended.code, Some(2));
    let expected = "kith: environment variable KITH_LOG__JASON: unknown field `jason`";
    assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
}

#[test]
fn a_named_file_must_be_there() {
    let place = Place::new();
    let ended = place.run(&["config", "check", "--config", "other.toml"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.starts_with("kith: cannot read other.toml"), "{}", ended.stderr);

    place.write("third.toml", "server_name = \"third.example\"\n");
    let mut command = place.command(&["team", "list"]);
    command.env("KITH_CONFIG", "third.toml");
    let ended = Ended::from(command.output().expect("kith runs"));
    assert_eq!(ended.stdout, "third.example\thttps://third.example/\n");
}

#[test]
fn check_looks_at_the_files_that_are_named() {
    let place = Place::new();
    for (setting, part) in [
        ("application_services = [\"bridge.yaml\"]", "bridge.yaml"),
        ("outgoing = { certificate_authorities = [\"ca.pem\"] }", "ca.pem"),
        (
            "listeners = [{ address = \"127.0.0.1:0\", tls = { certificate = \"a.pem\", key = \"b.pem\" } }]",
            "a.pem",
        ),
        ("log = { filter = \"info,=\" }", "log.filter"),
    ] {
        place.write("kith.toml", setting);
        let ended = place.run(&["config", "check"]);
        assert!(ended.code.is_some_and(|code| code != 0), "{setting}");
        assert!(ended.stderr.contains(part), "{setting}: {}", ended.stderr);
    }
}

#[test]
fn check_warns_of_a_server_that_is_open_to_everybody() {
    let place = Place::new();
    place.write(
        "kith.toml",
        "registration = { open = \"anyone\" }\nlisteners = [{ address = \"0.0.0.0:8008\" }]\n",
    );
    let ended = place.run(&["config", "check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("warning: registration.open"), "{}", ended.stdout);
}

#[test]
fn a_team_is_added_to_the_file_with_its_comments() {
    let place = Place::new();
    place.run(&["init"]);
    let before = place.read("kith.toml");
    let url = "https://matrix.b.example";
    let ended = place.run(&["team", "add", "b.example", "--public-base-url", url]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(place.read("kith.toml").starts_with(before.trim_end()));
    let listed = place.run(&["team", "list"]).stdout;
    assert_eq!(listed, "localhost\thttp://localhost:8008/\nb.example\thttps://matrix.b.example/\n");

    let with_team = place.read("kith.toml");
    for name in ["b.example", "localhost", "Upper.example", "no name"] {
        assert_ne!(place.run(&["team", "add", name]).code, Some(0), "{name}");
    }
    assert_eq!(place.read("kith.toml"), with_team);
    assert_eq!(
        std::fs::read_dir(place.path()).expect("a folder").count(),
        1,
        "nothing is left over"
    );
}

#[test]
fn without_a_file_there_is_nothing_to_add_a_team_to() {
    let ended = Place::new().run(&["team", "add", "b.example"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("kith init"), "{}", ended.stderr);
}
