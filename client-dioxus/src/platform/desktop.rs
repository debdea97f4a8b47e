//! The desktop: files in the person's folders, and the window's page by small scripts.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use dioxus::html::{FileData, HasFileData as _};
use dioxus::prelude::*;
use kith_client_core::Storage;

use super::LocalTime;

/// `~/.local/share/kith`
fn folder() -> PathBuf {
    std::env::home_dir().unwrap_or_default().join(".local/share/kith")
}

/// Where the account and what it has seen are kept.
pub fn storage() -> Storage {
    Storage::folder(folder())
}

/// A person opens one window.
pub async fn claim_storage(_insist: bool) -> bool {
    true
}

pub async fn storage_wanted() {
    std::future::pending().await
}

pub fn begin_anew() {}

/// What other devices of the account call this one.
pub fn device_name() -> String {
    format!("Kith ({})", std::env::consts::OS)
}

/// Nobody gave us a page.
pub fn home_server() -> Option<String> {
    None
}

fn setting(key: &str) -> PathBuf {
    folder().join("settings").join(key)
}

/// A small thing that this device keeps, such as the theme.
pub fn read_setting(key: &str) -> Option<String> {
    std::fs::read_to_string(setting(key)).ok()
}

pub fn write_setting(key: &str, value: &str) {
    let path = setting(key);
    let written = std::fs::create_dir_all(folder().join("settings"))
        .and_then(|()| std::fs::write(path, value));
    if let Err(error) = written {
        tracing::warn!(%error, "a setting could not be kept");
    }
}

/// The window's page knows them; without one, English.
pub fn languages() -> Vec<String> {
    Vec::new()
}

/// A script in the window's page. What takes the place of a `$` is quoted, so that it stays a value.
fn run(script: &str, values: &[&str]) {
    let mut parts = script.split('$');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for (value, part) in values.iter().zip(parts) {
        whole.push_str(&format!("{value:?}{part}"));
    }
    document::eval(&whole);
}

pub fn set_language(tag: &str) {
    run("document.documentElement.lang = $", &[tag]);
}

/// `light`, `dark`, or `system`.
pub fn set_theme(theme: &str) {
    run("document.documentElement.dataset.theme = $", &[theme]);
}

/// Does the person see the page now? A window has no tabs behind which it hides.
pub fn in_sight() -> bool {
    true
}

pub fn set_title(title: &str) {
    run("document.title = $", &[title]);
}

/// Milliseconds since the epoch.
pub fn now() -> u64 {
    let passed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
}

pub fn local_time(milliseconds: u64) -> LocalTime {
    let moment =
        i64::try_from(milliseconds).ok().and_then(|m| jiff::Timestamp::from_millisecond(m).ok());
    let time = moment.unwrap_or_default().to_zoned(jiff::tz::TimeZone::system());
    LocalTime {
        year: i32::from(time.year()),
        month: time.month().unsigned_abs(),
        day: time.day().unsigned_abs(),
        weekday: time.weekday().to_sunday_zero_offset().unsigned_abs(),
        hour: time.hour().unsigned_abs(),
        minute: time.minute().unsigned_abs(),
    }
}

pub async fn sleep(milliseconds: u32) {
    tokio::time::sleep(Duration::from_millis(milliseconds.into())).await;
}

/// Opens a `<dialog>`: the rest of the page is out of reach until it is closed.
pub fn show_modal(id: &str) {
    run("{ const d = document.getElementById($); if (d && !d.open) d.showModal(); }", &[id]);
}

/// Puts a popover above everything, dialogs that are open included.
pub fn raise(id: &str) {
    run("{ const it = document.getElementById($); it?.hidePopover(); it?.showPopover(); }", &[id]);
}

/// Puts a text into an input, which no longer shows what was typed.
pub fn set_text(id: &str, text: &str) {
    run("{ const it = document.getElementById($); if (it) it.value = $; }", &[id, text]);
}

pub fn focus(id: &str) {
    run("document.getElementById($)?.focus()", &[id]);
}

/// Shows the newest end of a timeline.
pub fn scroll_to_end(id: &str) {
    run("document.getElementById($)?.scrollTo(0, 0)", &[id]);
}

pub fn scroll_into_view(id: &str) {
    run("document.getElementById($)?.scrollIntoView()", &[id]);
}

/// No further than it takes.
pub fn scroll_into_sight(id: &str) {
    run("document.getElementById($)?.scrollIntoView({ block: 'nearest' })", &[id]);
}

pub fn copy(text: &str) {
    run("navigator.clipboard.writeText($)", &[text]);
}

/// The window's page does not hand over the clipboard's files.
pub fn pasted_files(_: &ClipboardEvent) -> Vec<FileData> {
    Vec::new()
}

/// The files of a drop.
pub fn dropped_files(event: &DragEvent) -> Vec<FileData> {
    event.data().files()
}

/// A URL for bytes in memory, for `<img>`.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectUrl(Rc<str>);

impl ObjectUrl {
    pub fn new(bytes: &[u8], mime: &str) -> Option<Self> {
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        Some(Self(format!("data:{mime};base64,{text}").into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Gives a file to the person, in their folder for downloads, and never over another.
pub fn save_file(name: &str, _mime: &str, bytes: &[u8]) -> bool {
    let folder = std::env::home_dir().unwrap_or_default().join("Downloads");
    let name: String = name.chars().filter(|c| !matches!(c, '/' | '\\' | '\0')).collect();
    let name = name.trim_start_matches('.');
    let name = if name.is_empty() { "file" } else { name };
    if std::fs::create_dir_all(&folder).is_err() {
        return false;
    }
    let names = std::iter::once(name.to_owned()).chain((1..1000).map(|n| format!("{n}-{name}")));
    for name in names {
        let path = folder.join(name);
        match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut file) => return std::io::Write::write_all(&mut file, bytes).is_ok(),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(_) => return false,
        }
    }
    false
}
