//! Two people, or two devices of one, compare emoji.

use dioxus::prelude::*;
use futures_util::StreamExt;
use kith_client_core::encryption::{CancelReason, Emoji, Verification, VerificationState};

use crate::adapter::use_latest;
use crate::state::{Session, use_session};
use crate::t;
use crate::ui::{Button, Dialog, Icon, Spinner, Style};

/// The one that is on the screen; of the context of the shell.
#[derive(Clone, Copy)]
pub(super) struct Verifying(pub Signal<Option<Verification>>);

/// Asks somebody, or (without a user ID) one's other devices.
pub(super) fn start(session: Session, user_id: Option<String>) {
    let mut shown = consume_context::<Verifying>().0;
    spawn(async move {
        let account = session.account();
        let asked = match &user_id {
            Some(user) => account.verify_user(user).await,
            None => account.verify_own_device(None).await,
        };
        match asked {
            Ok(verification) => {
                session.close();
                shown.set(Some(verification));
            }
            Err(error) => session.failed(&error, || {}),
        }
    });
}

/// Listens for requests, and shows the one at hand.
#[component]
pub fn Verifications() -> Element {
    let session = use_session();
    let mut shown = use_context::<Verifying>().0;
    use_hook(move || {
        spawn(async move {
            let mut requests = session.account().verification_requests();
            while let Some(request) = requests.next().await {
                if shown.peek().is_none() {
                    session.close();
                    shown.set(Some(request));
                }
            }
        })
    });
    rsx! {
        if let Some(verification) = shown() {
            VerifyDialog { key: "{verification.id()}", verification, onclose: move |()| shown.set(None) }
        }
    }
}

#[component]
fn VerifyDialog(verification: Verification, onclose: EventHandler<()>) -> Element {
    let session = use_session();
    let followed = verification.clone();
    let first = VerificationState::Waiting;
    let state = use_latest(first, move || followed.states().boxed_local());
    let peer = verification.peer();
    let title = if peer.own { t!("verify-device") } else { t!("verify-person") };
    let over = state().is_over();
    let cancelled = verification.clone();
    let close = move |()| {
        if !over {
            let verification = cancelled.clone();
            session.run(move |_| {
                let verification = verification.clone();
                async move { verification.cancel().await }
            });
        }
        onclose.call(());
    };
    let call = move |what: Answer| answer(session, &verification, what);
    let answer = use_callback(call);
    rsx! {
        Dialog { id: "verify", title, onclose: close,
            div { class: "dialog-body", aria_live: "polite",
                match state() {
                    VerificationState::Waiting => rsx! {
                        p { class: "row", Spinner {} {t!("verify-waiting", name: peer.user_id.clone())} }
                    },
                    VerificationState::Requested => rsx! {
                        p { if peer.own { {t!("verify-requested-own")} } else { {t!("verify-requested", name: peer.user_id.clone())} } }
                        Button { style: Style::Primary, wide: true, onclick: move |_| answer.call(Answer::Accept), {t!("verify-start")} }
                    },
                    VerificationState::Starting => rsx! {
                        p { class: "row", Spinner {} {t!("verify-starting")} }
                    },
                    VerificationState::Emoji(signs) => rsx! {
                        p { {t!("verify-compare")} }
                        Signs { signs }
                        Button { style: Style::Primary, wide: true, icon: Icon::Check, onclick: move |_| answer.call(Answer::Same), {t!("verify-same")} }
                        Button { style: Style::Danger, wide: true, onclick: move |_| answer.call(Answer::Different), {t!("verify-different")} }
                    },
                    VerificationState::Confirmed => rsx! {
                        p { class: "row", Spinner {} {t!("verify-confirmed")} }
                    },
                    VerificationState::Done => rsx! {
                        div { class: "empty",
                            {Icon::Shield.draw()}
                            h2 { {t!("verify-done")} }
                            p { if peer.own { {t!("verify-done-own")} } else { {t!("verify-done-text", name: peer.user_id.clone())} } }
                            Button { style: Style::Primary, onclick: move |_| onclose.call(()), {t!("done")} }
                        }
                    },
                    VerificationState::Cancelled(reason) => rsx! {
                        div { class: "empty",
                            {Icon::Warning.draw()}
                            h2 { {t!("verify-cancelled")} }
                            p { {cancelled_text(reason)} }
                            Button { onclick: move |_| onclose.call(()), {t!("close")} }
                        }
                    },
                }
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Answer {
    Accept,
    Same,
    Different,
}

fn answer(session: Session, verification: &Verification, answer: Answer) {
    let verification = verification.clone();
    session.run(move |_| {
        let verification = verification.clone();
        async move {
            match answer {
                Answer::Accept => verification.accept().await,
                Answer::Same => verification.confirm().await,
                Answer::Different => verification.mismatch().await,
            }
        }
    });
}

fn cancelled_text(reason: CancelReason) -> String {
    match reason {
        CancelReason::ByUs => t!("verify-cancelled-by-us"),
        CancelReason::ByThem => t!("verify-cancelled-by-them"),
        CancelReason::Mismatch => t!("verify-cancelled-mismatch"),
        CancelReason::TimedOut => t!("verify-cancelled-timed-out"),
        CancelReason::AnsweredElsewhere => t!("verify-cancelled-elsewhere"),
        CancelReason::Other => t!("verify-cancelled-other"),
    }
}

#[component]
fn Signs(signs: Vec<Emoji>) -> Element {
    rsx! {
        ol { class: "signs",
            for (index, sign) in signs.into_iter().enumerate() {
                li { key: "{index}",
                    span { class: "sign", "aria-hidden": "true", "{sign.symbol}" }
                    span { {t!(&sign_key(sign.name))} }
                }
            }
        }
    }
}

/// `Light Bulb` -> `sas-light-bulb`
fn sign_key(name: &str) -> String {
    format!("sas-{}", name.to_lowercase().replace(' ', "-"))
}
