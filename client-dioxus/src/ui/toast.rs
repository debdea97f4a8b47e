//! Something went wrong or well: said once, for a few seconds, with a way to try again.

use std::rc::Rc;

use dioxus::prelude::*;

use super::{Icon, IconButton};
use crate::{platform, t};

/// Seconds that one is shown.
const SHOWN_FOR: u32 = 8;
/// Of the element.
const ID: &str = "toasts";
/// More would hide the page.
const AT_MOST: usize = 3;

#[derive(Clone)]
pub struct Toast {
    id: u64,
    pub text: String,
    pub retry: Option<Rc<dyn Fn()>>,
}

impl PartialEq for Toast {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// Where toasts are put; of the context.
#[derive(Clone, Copy)]
pub struct Toasts {
    shown: Signal<Vec<Toast>>,
    next: Signal<u64>,
}

impl Toasts {
    pub fn new() -> Self {
        Self { shown: Signal::new(Vec::new()), next: Signal::new(0) }
    }

    pub fn say(self, text: impl Into<String>) {
        self.put(text.into(), None);
    }

    pub fn say_with_retry(self, text: impl Into<String>, retry: impl Fn() + 'static) {
        self.put(text.into(), Some(Rc::new(retry)));
    }

    fn put(mut self, text: String, retry: Option<Rc<dyn Fn()>>) {
        let id = *self.next.peek();
        self.next.set(id + 1);
        let mut shown = self.shown.write();
        shown.retain(|toast| toast.text != text);
        shown.push(Toast { id, text, retry });
        let extra = shown.len().saturating_sub(AT_MOST);
        shown.drain(..extra);
        drop(shown);
        // Above an open dialog, too.
        platform::raise(ID);
        dioxus::core::spawn_forever(async move {
            platform::sleep(SHOWN_FOR * 1000).await;
            self.take(id);
        });
    }

    fn take(mut self, id: u64) {
        self.shown.write().retain(|toast| toast.id != id);
    }
}

impl Default for Toasts {
    fn default() -> Self {
        Self::new()
    }
}

#[component]
pub fn ToastStack() -> Element {
    let toasts = use_context::<Toasts>();
    rsx! {
        div { id: ID, class: "toasts", "popover": "manual", role: "status", aria_live: "polite",
            for toast in toasts.shown.read().iter().cloned() {
                div { key: "{toast.id}", class: "toast",
                    p { "{toast.text}" }
                    if let Some(retry) = toast.retry.clone() {
                        button {
                            class: "button plain slim",
                            r#type: "button",
                            onclick: move |_| {
                                toasts.take(toast.id);
                                retry();
                            },
                            {t!("retry")}
                        }
                    }
                    IconButton { icon: Icon::Close, label: t!("close"), onclick: move |_| toasts.take(toast.id) }
                }
            }
        }
    }
}
