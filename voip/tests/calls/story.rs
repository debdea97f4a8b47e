//! Scripts say in lines of JSON what they saw.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tokio::process::Command;

/// The lines of a script that must end well.
pub(crate) async fn run(mut command: Command) -> Vec<Value> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.expect("the interpreter is installed (deploy/setup.sh --tests)");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// A script in Python, which uses `livekit`.
pub(crate) fn python(script: &str, arguments: &[&str]) -> impl Future<Output = Vec<Value>> + use<> {
    let mut python = Command::new("python3");
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python");
    python
        .env("PYTHONPATH", installed("python/packages"))
        .arg(scripts.join(script))
        .args(arguments);
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    run(python)
}

/// Checks that a script saw all this in this order, and perhaps more, and came to its end.
#[track_caller]
pub(crate) fn assert_story(seen: &[Value], story: &[&str]) {
    let seen: Vec<&str> = seen.iter().filter_map(|line| line["saw"].as_str()).collect();
    let mut rest = seen.iter();
    for chapter in story {
        assert!(rest.any(|line| line == chapter), "`{chapter}` is not in its place: {seen:?}");
    }
    assert_eq!(seen.last(), Some(&"end"));
}

/// A number that a script told with one of its chapters.
#[track_caller]
pub(crate) fn number(seen: &[Value], chapter: &str, field: &str) -> f64 {
    let line = seen.iter().find(|line| line["saw"] == chapter);
    let value = line.and_then(|line| line[field].as_f64());
    value.unwrap_or_else(|| panic!("`{chapter}` has no `{field}`: {seen:?}"))
}

/// Where `setup-clients.sh` put it.
pub(crate) fn installed(path: &str) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| value != OsStr::new(""));
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    let path = cache.expect("HOME is set").join("kith/calls").join(path);
    assert!(path.exists(), "{} is missing: run voip/setup-clients.sh", path.display());
    path
}
