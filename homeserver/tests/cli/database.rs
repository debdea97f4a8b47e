//! `kith db`: export, import, check.

use std::{fs::File, os::unix::fs::PermissionsExt};

use crate::kith::{Ended, Place, Running};

/// A database that has been served once; it holds the team and its keys.
fn served() -> Place {
    let place = Place::new();
    assert_eq!(place.serve().stop().code, Some(0));
    place
}

#[test]
fn an_export_fills_another_engine_with_the_same_rows() {
    let place = served();
    let ended = place.run(&["db", "export", "backup"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stderr.starts_with("exported "), "{}", ended.stderr);
    let exported = std::fs::read(place.path().join("backup")).expect("the export");
    let mode = File::open(place.path().join("backup")).expect("there").metadata();
    assert_eq!(mode.expect("metadata").permissions().mode() & 0o777, 0o600, "it holds secrets");

    let arguments = ["db", "import", "backup", "--data", "new", "--engine", "fjall"];
    let ended = place.run(&arguments);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let again = place.run(&arguments);
    assert_eq!(again.code, Some(1), "only into an empty database");
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);

    let fjall = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("KITH_STORAGE__ENGINE", "fjall");
        command
    };
    let ended =
        Ended::from(fjall(&["db", "export", "second", "--data", "new"]).output().expect("runs"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(std::fs::read(place.path().join("second")).expect("the export"), exported);
    let serve = || fjall(&["serve", "--data", "new", "--listen", "127.0.0.1:0"]);
    // The files and their key are no rows: a server that made another key could read none of them.
    let ended = Ended::from(serve().output().expect("runs"));
    assert!(ended.stderr.contains("new/media.key is not there"), "{}", ended.stderr);
    std::fs::copy(place.path().join("kith-data/media.key"), place.path().join("new/media.key"))
        .expect("copied");
    let serve = serve();
    assert_eq!(Running::start(serve).stop().code, Some(0));
}

#[test]
fn an_export_goes_through_pipes() {
    let place = served();
    let ended = place.command(&["db", "export", "-"]).output().expect("kith runs");
    assert!(ended.status.success());
    std::fs::write(place.path().join("piped"), &ended.stdout).expect("written");
    let mut import = place.command(&["db", "import", "-", "--data", "new"]);
    import.stdin(File::open(place.path().join("piped")).expect("there"));
    let ended = Ended::from(import.output().expect("kith runs"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(place.run(&["db", "check", "--data", "new"]).code, Some(0));
}

#[test]
fn a_damaged_export_is_not_imported() {
    let place = served();
    place.run(&["db", "export", "backup"]);
    let mut bytes = std::fs::read(place.path().join("backup")).expect("the export");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(place.path().join("damaged"), bytes).expect("written");
    let ended = place.run(&["db", "import", "damaged", "--data", "new"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--data", "new"]);
    assert_eq!(ended.code, Some(1), "half a database is not served");
}

#[test]
fn an_export_overwrites_nothing() {
    let place = served();
    place.write("backup", "precious");
    let ended = place.run(&["db", "export", "backup"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("cannot write backup"), "{}", ended.stderr);
    assert_eq!(place.read("backup"), "precious");
}

#[test]
fn check_reads_a_sound_database() {
    let ended = served().run(&["db", "check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("secrets"), "{}", ended.stdout);
    assert!(ended.stdout.ends_with("the database is sound\n"), "{}", ended.stdout);
}

#[test]
fn where_no_database_is_none_is_made() {
    let place = Place::new();
    for arguments in [&["db", "check"][..], &["db", "export", "backup"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("there is no database in kith-data"), "{}", ended.stderr);
    }
    assert_eq!(std::fs::read_dir(place.path()).expect("a folder").count(), 0);
}

#[test]
fn a_database_that_is_served_is_left_alone() {
    let place = Place::new();
    let _kith = place.serve();
    for arguments in [&["db", "check"][..], &["db", "export", "backup"]] {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(1));
        assert!(ended.stderr.contains("in use by another process"), "{}", ended.stderr);
    }
}
