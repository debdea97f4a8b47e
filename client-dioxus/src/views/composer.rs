//! Where one writes: text, emoji, pictures and files.

use dioxus::html::FileData;
use dioxus::prelude::*;
use futures_util::StreamExt;
use kith_client_core::room::RoomDetails;
use kith_client_core::timeline::{Content, ItemId, Message, Timeline};
use kith_client_core::uploads::{MAX_UPLOAD, NewFile, Progress, Upload};
use kith_client_core::{Error, ErrorKind};

use super::room::{About, Room};
use crate::pictures::mime_of;
use crate::platform::ObjectUrl;
use crate::state::{Session, put, use_session};
use crate::ui::{EmojiPicker, Icon, IconButton, Menu, hue, use_typed, words};
use crate::{i18n, platform, t};

/// Files that wait to be sent, at most.
const MAX_PENDING: usize = 20;
/// Nobody types who has sent it or thought better of it within so many milliseconds.
const HESITATION: u32 = 300;

/// A file that was chosen and is not sent yet.
#[derive(Clone, PartialEq)]
pub(super) struct Pending {
    pub file: NewFile,
    /// Of a picture.
    preview: Option<ObjectUrl>,
}

/// Reads the files, and puts them into the composer.
pub(super) fn take_files(session: Session, mut room: Room, files: Vec<FileData>) {
    spawn(async move {
        for data in files {
            if room.pending.peek().len() >= MAX_PENDING {
                return session.toasts.say(t!("too-many-files", count: MAX_PENDING));
            }
            if usize::try_from(data.size()).map_or(true, |size| size > MAX_UPLOAD) {
                session.toasts.say(words::error(ErrorKind::TooLarge));
                continue;
            }
            match data.read_bytes().await {
                Ok(bytes) => {
                    let pending = pending(&data.name(), data.content_type().as_deref(), bytes);
                    room.pending.write().push(pending);
                }
                Err(error) => {
                    tracing::warn!(%error, "a file cannot be read");
                    session.toasts.say(t!("file-unreadable", name: data.name()));
                }
            }
        }
        platform::focus("composer");
    });
}

fn pending(name: &str, said: Option<&str>, bytes: bytes::Bytes) -> Pending {
    let seen = mime_of(&bytes);
    let mime = seen.or(said).filter(|mime| !mime.is_empty()).unwrap_or("application/octet-stream");
    let mut file = NewFile::new(name, mime, bytes.clone());
    if let Some(size) = seen.and_then(|_| imagesize::blob_size(&bytes).ok()) {
        file.width = u32::try_from(size.width).ok();
        file.height = u32::try_from(size.height).ok();
    }
    Pending { file, preview: seen.and_then(|mime| ObjectUrl::new(&bytes, mime)) }
}

#[component]
pub fn Composer(timeline: Timeline, details: Signal<Option<RoomDetails>>) -> Element {
    let session = use_session();
    let mut room = use_context::<Room>();
    let mut draft = room.draft;
    let mut picking = use_signal(|| false);
    let mut uploads = use_signal(Vec::<Upload>::new);
    let may_send = details.read().as_ref().is_none_or(|details| details.can_send);
    let encrypted = details.read().as_ref().and_then(|details| details.row.encrypted) == Some(true);

    let sent = timeline.clone();
    let send = use_callback(move |()| {
        let text = draft.peek().clone();
        let about = room.about.peek().clone();
        let files = std::mem::take(&mut *room.pending.write());
        if text.trim().is_empty() && files.is_empty() {
            return;
        }
        draft.set(String::new());
        room.about.set(About::Nothing);
        picking.set(false);
        platform::scroll_to_end("timeline");
        let reply_to = match &about {
            About::Reply(message) => event_id(message),
            _ => None,
        };
        for pending in files {
            let upload = sent.upload(pending.file, reply_to.as_deref());
            uploads.write().push(upload.clone());
            dioxus::core::spawn_forever(run(session, upload, uploads));
        }
        if !text.trim().is_empty() {
            dioxus::core::spawn_forever(say(session, sent.clone(), room, text, about));
        }
        typed_nothing(&sent);
    });

    let typist = timeline.clone();
    let typed = use_typed("composer", draft);
    let hesitate = use_callback(move |()| {
        let typist = typist.clone();
        spawn(async move {
            platform::sleep(HESITATION).await;
            let typing = !draft.peek().trim().is_empty();
            if let Err(error) = typist.set_typing(typing).await {
                tracing::debug!(%error, "nobody hears that one types");
            }
        });
    });

    if !may_send {
        return rsx! {
            p { class: "empty small", {t!("cannot-send")} }
        };
    }
    rsx! {
        div { class: "composer",
            for upload in uploads() {
                UploadLine { key: "{upload.file().name}-{upload.file().bytes.len()}", upload }
            }
            div { class: "composer-box",
                AboutLine { room }
                PendingFiles { room }
                div { class: "composer-line",
                    AttachButton { room }
                    textarea {
                        id: "composer",
                        rows: "1",
                        placeholder: if encrypted { t!("write-encrypted") } else { t!("write") },
                        aria_label: t!("write"),
                        initial_value: typed.initial(),
                        oninput: move |event| {
                            typed.take(event.value());
                            hesitate.call(());
                        },
                        onpaste: move |event| {
                            let files = platform::pasted_files(&event);
                            if !files.is_empty() {
                                event.prevent_default();
                                take_files(session, room, files);
                            }
                        },
                        onkeydown: move |event: KeyboardEvent| match event.key() {
                            // While an input method composes, Enter chooses a word.
                            Key::Enter if !event.modifiers().shift() && !event.is_composing() => {
                                event.prevent_default();
                                send.call(());
                            }
                            Key::Escape if *room.about.peek() != About::Nothing => leave_about(room),
                            _ => {}
                        },
                    }
                    div { class: "menu-anchor",
                        IconButton { icon: Icon::Smile, label: t!("emoji"), expanded: picking(), onclick: move |_| picking.toggle() }
                        if picking() {
                            Menu { label: t!("emoji"), class: "emoji-picker", onclose: move |_| picking.set(false),
                                EmojiPicker {
                                    onchoose: move |sign: String| {
                                        draft.write().push_str(&sign);
                                        picking.set(false);
                                        platform::focus("composer");
                                    },
                                }
                            }
                        }
                    }
                    IconButton {
                        icon: Icon::Send,
                        class: "primary",
                        label: t!("send"),
                        disabled: draft.read().trim().is_empty() && room.pending.read().is_empty(),
                        onclick: move |_| send.call(()),
                    }
                }
            }
        }
    }
}

/// What was typed is sent: nobody types any more.
fn typed_nothing(timeline: &Timeline) {
    let timeline = timeline.clone();
    spawn(async move {
        if let Err(error) = timeline.set_typing(false).await {
            tracing::debug!(%error, "others see somebody typing a while longer");
        }
    });
}

fn event_id(message: &Message) -> Option<String> {
    match &message.id {
        ItemId::Event(id) => Some(id.clone()),
        ItemId::Transaction(_) => None,
    }
}

/// Sends a text. What could not even be queued comes back into the composer.
async fn say(session: Session, timeline: Timeline, room: Room, text: String, about: About) {
    let said: Result<(), Error> = match &about {
        About::Nothing => timeline.send_text(&text).await,
        About::Reply(message) => match event_id(message) {
            Some(id) => timeline.reply(&id, &text).await,
            None => timeline.send_text(&text).await,
        },
        About::Edit(id) => timeline.edit(id, &text).await,
    };
    if let Err(error) = said {
        session.failed(&error, || {});
        if room.draft.try_peek().is_ok_and(|draft| draft.is_empty()) {
            put(room.draft, text);
            put(room.about, about);
        }
    }
}

/// Goes on when somebody looks at another room; only the line about it is gone then.
async fn run(session: Session, upload: Upload, mut uploads: Signal<Vec<Upload>>) {
    let result = upload.run().await;
    if let Ok(mut shown) = uploads.try_write() {
        shown.retain(|other| *other != upload);
    }
    if let Err(error) = result {
        session.failed(&error, move || {
            let mut uploads = uploads;
            if let Ok(mut shown) = uploads.try_write() {
                shown.push(upload.clone());
            }
            dioxus::core::spawn_forever(run(session, upload.clone(), uploads));
        });
    }
}

fn leave_about(mut room: Room) {
    if matches!(*room.about.peek(), About::Edit(_)) {
        room.draft.set(String::new());
    }
    room.about.set(About::Nothing);
}

#[component]
fn UploadLine(upload: Upload) -> Element {
    let followed = upload.clone();
    let progress =
        crate::adapter::use_latest(Progress::default(), move || followed.progress().boxed_local());
    let Progress { sent, total } = progress();
    let name = upload.file().name.clone();
    rsx! {
        div { class: "notice", role: "status",
            {Icon::File.draw()}
            div {
                span { class: "cut small", {t!("uploading", name: name, size: i18n::bytes(upload.file().bytes.len() as u64))} }
                progress { value: "{sent}", max: "{total.max(1)}" }
            }
            IconButton { icon: Icon::Close, label: t!("cancel"), onclick: move |_| upload.cancel() }
        }
    }
}

/// Which message is answered or changed.
#[component]
fn AboutLine(room: Room) -> Element {
    let about = room.about.read().clone();
    let quote = match about {
        About::Nothing => return rsx! {},
        About::Edit(_) => rsx! {
            div { class: "quote", strong { {t!("editing")} } }
        },
        About::Reply(message) => {
            let text = match &message.content {
                Content::Text(text) | Content::Emote(text) | Content::Notice(text) => {
                    text.plain.clone()
                }
                Content::Image(picture) | Content::Sticker(picture) => picture.name.clone(),
                Content::File(file) => file.name.clone(),
                _ => t!("preview-other"),
            };
            rsx! {
                div { class: "quote hue-{hue(&message.sender.id)}",
                    strong { {t!("replying-to", name: message.sender.name.clone())} }
                    span { class: "cut", "{text}" }
                }
            }
        }
    };
    rsx! {
        div { class: "about",
            {quote}
            IconButton { icon: Icon::Close, label: t!("cancel"), onclick: move |_| leave_about(room) }
        }
    }
}

#[component]
fn PendingFiles(room: Room) -> Element {
    let mut pending = room.pending;
    if pending.read().is_empty() {
        return rsx! {};
    }
    rsx! {
        div { class: "pending", role: "group", aria_label: t!("attachments"),
            for (index, waiting) in pending().into_iter().enumerate() {
                div { key: "{index}", class: "file",
                    match waiting.preview {
                        Some(url) => rsx! { img { src: url.as_str().to_owned(), alt: "" } },
                        None => Icon::File.draw(),
                    }
                    div {
                        span { class: "cut", "{waiting.file.name}" }
                        span { class: "small soft", {i18n::bytes(waiting.file.bytes.len() as u64)} }
                    }
                    IconButton {
                        icon: Icon::Close,
                        label: t!("remove"),
                        onclick: move |_| {
                            pending.write().remove(index);
                        },
                    }
                }
            }
        }
    }
}

/// A button in front of the browser's own file input.
#[component]
fn AttachButton(room: Room) -> Element {
    let session = use_session();
    rsx! {
        label { class: "icon-button", title: t!("attach"),
            {Icon::Attach.draw()}
            input {
                class: "unseen",
                r#type: "file",
                multiple: true,
                aria_label: t!("attach"),
                onchange: move |event| take_files(session, room, event.files()),
            }
        }
    }
}
