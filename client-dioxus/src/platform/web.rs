//! The browser, by web-sys.

use std::rc::Rc;

use dioxus::html::{FileData, HasFileData as _};
use dioxus::prelude::*;
use dioxus::web::{WebEventExt, WebFileData};
use js_sys::{Array, Date, Uint8Array};
use kith_client_core::Storage;
use wasm_bindgen::prelude::*;
use web_sys::{Document, Element, HtmlElement, HtmlInputElement, HtmlTextAreaElement, Window};

use super::LocalTime;

fn window() -> Window {
    web_sys::window().expect("a page has a window")
}

fn document() -> Document {
    window().document().expect("a window has a document")
}

fn element(id: &str) -> Option<Element> {
    document().get_element_by_id(id)
}

#[wasm_bindgen(module = "/js/tabs.js")]
extern "C" {
    #[wasm_bindgen(catch)]
    async fn claim(insist: bool) -> Result<JsValue, JsValue>;
    async fn asked();
}

/// Makes this the one page that uses [`storage`], until it goes. False: another one is, and `insist` was not
/// said, which takes it over within some seconds.
pub async fn claim_storage(insist: bool) -> bool {
    match claim(insist).await {
        Ok(claimed) => claimed.is_truthy(),
        Err(error) => {
            tracing::warn!(?error, "nobody knows whether another page is open");
            true
        }
    }
}

/// Ends when another page wants to be that one, or has become it: then this one is to begin anew.
pub async fn storage_wanted() {
    asked().await;
}

/// Loads the page again.
pub fn begin_anew() {
    if window().location().reload().is_err() {
        tracing::warn!("the page does not load again");
    }
}

/// Where the account and what it has seen are kept.
pub fn storage() -> Storage {
    Storage::browser("kith")
}

/// What other devices of the account call this one.
pub fn device_name() -> String {
    let agent = window().navigator().user_agent().unwrap_or_default();
    let has = |name: &&str| agent.contains(*name);
    let browser = ["Firefox", "Edg", "Chrome", "Safari"].into_iter().find(has);
    let system = ["Android", "iPhone", "Windows", "Mac", "Linux"].into_iter().find(has);
    format!("Kith ({}, {})", browser.unwrap_or("web"), system.unwrap_or("?"))
}

/// The server that gave us the page: it is most likely a homeserver.
pub fn home_server() -> Option<String> {
    window().location().origin().ok().filter(|origin| origin.starts_with("http"))
}

/// A small thing that this device keeps, such as the theme. `None` also where nothing can be kept.
pub fn read_setting(key: &str) -> Option<String> {
    window().local_storage().ok()??.get_item(&format!("kith.{key}")).ok()?
}

pub fn write_setting(key: &str, value: &str) {
    if let Ok(Some(storage)) = window().local_storage()
        && storage.set_item(&format!("kith.{key}"), value).is_err()
    {
        tracing::warn!("this browser keeps no settings");
    }
}

/// As `zh-CN`; the first is liked best.
pub fn languages() -> Vec<String> {
    window().navigator().languages().iter().filter_map(|language| language.as_string()).collect()
}

/// For screen readers and for hyphens.
pub fn set_language(tag: &str) {
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute("lang", tag);
    }
}

/// `light`, `dark`, or `system`.
pub fn set_theme(theme: &str) {
    if let Some(root) = document().document_element() {
        let _ = root.set_attribute("data-theme", theme);
    }
}

/// Does the person see the page now?
pub fn in_sight() -> bool {
    !document().hidden()
}

pub fn set_title(title: &str) {
    document().set_title(title);
}

/// Milliseconds since the epoch.
pub fn now() -> u64 {
    Date::now() as u64
}

pub fn local_time(milliseconds: u64) -> LocalTime {
    let date = Date::new(&(milliseconds as f64).into());
    LocalTime {
        year: date.get_full_year() as i32,
        month: date.get_month() as u8 + 1,
        day: date.get_date() as u8,
        weekday: date.get_day() as u8,
        hour: date.get_hours() as u8,
        minute: date.get_minutes() as u8,
    }
}

pub async fn sleep(milliseconds: u32) {
    gloo_timers::future::TimeoutFuture::new(milliseconds).await;
}

/// Opens a `<dialog>`: the rest of the page is out of reach until it is closed.
pub fn show_modal(id: &str) {
    let dialog =
        element(id).and_then(|element| element.dyn_into::<web_sys::HtmlDialogElement>().ok());
    if let Some(dialog) = dialog
        && !dialog.open()
        && dialog.show_modal().is_err()
    {
        tracing::warn!(id, "a dialog does not open");
    }
}

/// Puts a popover above everything, dialogs that are open included.
pub fn raise(id: &str) {
    let element = element(id).and_then(|element| element.dyn_into::<HtmlElement>().ok());
    if let Some(element) = element {
        let _ = element.hide_popover();
        let _ = element.show_popover();
    }
}

/// Puts a text into an input, which no longer shows what was typed.
pub fn set_text(id: &str, text: &str) {
    let Some(element) = element(id) else { return };
    if let Some(input) = element.dyn_ref::<HtmlInputElement>() {
        input.set_value(text);
    } else if let Some(area) = element.dyn_ref::<HtmlTextAreaElement>() {
        area.set_value(text);
    }
}

pub fn focus(id: &str) {
    let element = element(id).and_then(|element| element.dyn_into::<HtmlElement>().ok());
    if let Some(element) = element {
        let _ = element.focus();
    }
}

/// Shows the newest end of a timeline.
pub fn scroll_to_end(id: &str) {
    if let Some(element) = element(id) {
        element.set_scroll_top(0);
    }
}

pub fn scroll_into_view(id: &str) {
    if let Some(element) = element(id) {
        element.scroll_into_view();
    }
}

/// No further than it takes.
pub fn scroll_into_sight(id: &str) {
    if let Some(element) = element(id) {
        let options = web_sys::ScrollIntoViewOptions::new();
        options.set_block(web_sys::ScrollLogicalPosition::Nearest);
        element.scroll_into_view_with_scroll_into_view_options(&options);
    }
}

pub fn copy(text: &str) {
    // The answer says only whether the person allowed it.
    let _ = window().navigator().clipboard().write_text(text);
}

/// Pictures and files of the clipboard.
pub fn pasted_files(event: &ClipboardEvent) -> Vec<FileData> {
    let event: web_sys::Event = event.data().as_web_event();
    let Some(event) = event.dyn_ref::<web_sys::ClipboardEvent>() else { return Vec::new() };
    let Some(files) = event.clipboard_data().and_then(|data| data.files()) else {
        return Vec::new();
    };
    let files = (0..files.length()).filter_map(|index| files.get(index));
    let data = |file| Some(FileData::new(WebFileData::new(file, web_sys::FileReader::new().ok()?)));
    files.filter_map(data).collect()
}

/// The files of a drop.
pub fn dropped_files(event: &DragEvent) -> Vec<FileData> {
    event.data().files()
}

/// A URL for bytes in memory, for `<img>`; it ends with its last clone.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectUrl(Rc<Owned>);

#[derive(Debug, PartialEq)]
struct Owned(String);

impl ObjectUrl {
    pub fn new(bytes: &[u8], mime: &str) -> Option<Self> {
        let parts = Array::of1(&Uint8Array::from(bytes));
        let options = web_sys::BlobPropertyBag::new();
        options.set_type(mime);
        let blob = web_sys::Blob::new_with_u8_array_sequence_and_options(&parts, &options).ok()?;
        let url = web_sys::Url::create_object_url_with_blob(&blob).ok()?;
        Some(Self(Rc::new(Owned(url))))
    }

    pub fn as_str(&self) -> &str {
        &self.0.0
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = web_sys::Url::revoke_object_url(&self.0);
    }
}

/// Gives a file to the person, as a download.
pub fn save_file(name: &str, mime: &str, bytes: &[u8]) -> bool {
    // Never a type that the browser would run with our origin's rights.
    let mime = if mime.starts_with("image/") && mime != "image/svg+xml" {
        mime
    } else {
        "application/octet-stream"
    };
    let Some(url) = ObjectUrl::new(bytes, mime) else { return false };
    let Ok(link) = document().create_element("a") else { return false };
    let Ok(link) = link.dyn_into::<web_sys::HtmlAnchorElement>() else { return false };
    link.set_href(url.as_str());
    link.set_download(name);
    link.click();
    // The browser reads the URL after this turn.
    dioxus::core::spawn_forever(async move {
        sleep(60_000).await;
        drop(url);
    });
    true
}
