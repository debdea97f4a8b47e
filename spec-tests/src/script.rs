//! Scripts that use other people's clients, at the versions that `setup-interop.sh` installs. Each says in
//! lines of JSON what it saw.

use std::{
    ffi::OsStr,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Stdio,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

/// What a script in Python saw, which uses matrix-nio.
pub async fn run_nio(script: &Path, arguments: &[String]) -> Vec<String> {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", installed("nio/packages")).arg(script).args(arguments);
    run(python).await
}

/// What a script of `voip/tests/clients/python` saw, which uses LiveKit's client.
pub async fn run_livekit(script: &str, arguments: &[&str]) -> Vec<String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../voip/tests/clients/python");
    let packages = cached("calls/python/packages", "voip/setup-clients.sh");
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    python.arg(scripts.join(script)).args(arguments);
    run(python).await
}

/// What a script in JavaScript saw, which uses matrix-js-sdk.
pub async fn run_js(script: &Path, arguments: &[String]) -> Vec<String> {
    // The Node.js that came with it: the SDK is written for a newer one than Debian has.
    let node = Command::new(installed("js/node_modules/.bin/node"));
    run_node(node, "js/node_modules", script, arguments).await
}

/// What a script saw that drives Chromium by Playwright.
pub async fn run_browser(script: &Path, arguments: &[String]) -> Vec<String> {
    run_node(Command::new("node"), "browser/node_modules", script, arguments).await
}

/// Scripts find their modules beside themselves: those that are installed, and each other.
async fn run_node(
    mut node: Command,
    modules: &str,
    script: &Path,
    arguments: &[String],
) -> Vec<String> {
    let folder: TempDir = tempfile::tempdir().expect("a temporary folder can be made");
    let beside = script.parent().expect("a script is in a folder");
    for entry in std::fs::read_dir(beside).expect("the scripts are there") {
        let path = entry.expect("the folder can be read").path();
        if path.extension().is_some_and(|extension| extension == "mjs") {
            let name = path.file_name().expect("a file has a name");
            std::fs::copy(&path, folder.path().join(name)).expect("the script can be copied");
        }
    }
    symlink(installed(modules), folder.path().join("node_modules")).expect("a link");
    let name = script.file_name().expect("a script has a name");
    node.arg(folder.path().join(name)).args(arguments);
    run(node).await
}

/// What the script says it saw. It must end well.
async fn run(mut command: Command) -> Vec<String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let output = output.expect("the interpreter is installed (deploy/setup.sh --tests)");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{text}\n{errors}", output.status);
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter_map(|line| Some(line["saw"].as_str()?.to_owned())).collect()
}

/// Checks that a script saw all this in this order, and perhaps more, and came to its end.
#[track_caller]
pub fn assert_story(seen: &[String], story: &[&str]) {
    let mut rest = seen.iter();
    for chapter in story {
        assert!(rest.any(|line| line == chapter), "`{chapter}` is not in its place: {seen:?}");
    }
    assert_eq!(seen.last().map(String::as_str), Some("end"));
}

/// Where `setup-interop.sh` put it.
pub fn installed(path: &str) -> PathBuf {
    cached(&format!("interop/{path}"), "spec-tests/setup-interop.sh")
}

fn cached(path: &str, made_by: &str) -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value: &_| value != OsStr::new(""));
    let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| variable("HOME").map(|home| Path::new(&home).join(".cache")));
    let path = cache.expect("HOME is set").join("kith").join(path);
    assert!(path.exists(), "{} is missing: run {made_by}", path.display());
    path
}
