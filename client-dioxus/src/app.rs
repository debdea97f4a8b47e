//! The root: who is signed in, in which language and colours.

use dioxus::core::provide_root_context;
use dioxus::prelude::*;
use kith_client_core::Account;

use crate::i18n::{Language, Texts};
use crate::pictures::Pictures;
use crate::preferences::Preferences;
use crate::route::Route;
use crate::state::{Phase, Session};
use crate::ui::{Button, Empty, Icon, Style, ToastStack, Toasts, words};
use crate::views::Welcome;
use crate::{platform, t};

#[component]
pub fn App() -> Element {
    // At the root, where tasks that outlive their component find them.
    let texts = use_hook(|| provide_root_context(Texts::new(Language::preferred())));
    let preferences = use_context_provider(Preferences::kept);
    let toasts = use_hook(|| provide_root_context(Toasts::new()));
    let mut phase = use_context_provider(|| Signal::new(Phase::Starting));
    let begin = use_callback(move |insist: bool| {
        phase.set(Phase::Starting);
        spawn(async move {
            phase.set(match platform::claim_storage(insist).await {
                true => restored(toasts).await,
                false => Phase::Elsewhere,
            });
        });
    });
    use_hook(|| {
        platform::set_language(texts.language.peek().tag());
        begin.call(false);
        spawn(async move {
            platform::storage_wanted().await;
            if let Phase::SignedIn(account) = phase.peek().clone() {
                account.pause().await;
            }
            platform::begin_anew();
        });
    });
    rsx! {
        div { class: "app", "data-theme": (preferences.theme)().name(), "data-language": (texts.language)().tag(),
            match phase() {
                Phase::Starting => rsx! { Starting {} },
                Phase::Elsewhere => rsx! { Elsewhere { onuse: move |()| begin.call(true) } },
                Phase::SignedOut => rsx! { Welcome {} },
                Phase::SignedIn(account) => rsx! {
                    SignedIn { key: "{account.user_id()}/{account.device_id()}", account }
                },
            }
            ToastStack {}
        }
    }
}

/// Who was signed in when the program ended.
async fn restored(toasts: Toasts) -> Phase {
    match Account::restore(&platform::storage()).await {
        Ok(Some(account)) => Phase::SignedIn(account),
        Ok(None) => Phase::SignedOut,
        Err(error) => {
            tracing::warn!(%error, "the session did not come back");
            toasts.say(words::error(error.kind()));
            Phase::SignedOut
        }
    }
}

/// Two tabs would write the same keys.
#[component]
fn Elsewhere(onuse: EventHandler<()>) -> Element {
    rsx! {
        main { class: "elsewhere",
            Empty { icon: Icon::Screen, title: t!("elsewhere-title"), text: t!("elsewhere-text"),
                Button { style: Style::Primary, onclick: move |_| onuse.call(()), {t!("elsewhere-use")} }
            }
        }
    }
}

#[component]
fn Starting() -> Element {
    rsx! {
        div { class: "starting", role: "status", aria_label: t!("loading"), crate::ui::Spinner {} }
    }
}

#[component]
fn SignedIn(account: Account) -> Element {
    let phase = use_context::<Signal<Phase>>();
    let toasts = use_context::<Toasts>();
    use_context_provider(|| Pictures::new(account.clone()));
    use_context_provider(|| Session {
        account: Signal::new(account),
        phase,
        open: Signal::new(None),
        toasts,
    });
    rsx! {
        Router::<Route> {}
    }
}
