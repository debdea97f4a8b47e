//! What do the views of a signed-in account share?

use dioxus::prelude::*;
use kith_client_core::timeline::Picture;
use kith_client_core::{Account, Error, ErrorKind};

use crate::platform;
use crate::ui::{Toasts, words};

/// Where the program stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Phase {
    /// Looking whether somebody was signed in.
    Starting,
    /// Another tab has the account.
    Elsewhere,
    SignedOut,
    SignedIn(Account),
}

/// A window above the page.
#[derive(Clone, Debug, PartialEq)]
pub enum Open {
    CreateRoom,
    JoinRoom,
    FindPeople,
    /// Into this room.
    Invite(String),
    /// Before the call of this room.
    Call(String),
    Settings(Tab),
    Viewer(Box<Picture>),
    /// Before a room is left for good.
    Leave {
        room_id: String,
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tab {
    Profile,
    Appearance,
    Security,
    Devices,
}

/// Of the context below the sign-in.
#[derive(Clone, Copy)]
pub struct Session {
    pub account: Signal<Account>,
    pub phase: Signal<Phase>,
    pub open: Signal<Option<Open>>,
    pub toasts: Toasts,
}

impl Session {
    pub fn account(self) -> Account {
        self.account.peek().clone()
    }

    pub fn show(mut self, open: Open) {
        self.open.set(Some(open));
    }

    pub fn close(mut self) {
        self.open.set(None);
    }

    /// Says what went wrong; with a way to try again where that may help.
    pub fn failed(self, error: &Error, retry: impl Fn() + 'static) {
        tracing::warn!(%error, "a call failed");
        match error.kind() {
            ErrorKind::Cancelled => {}
            kind if error.is_retryable() => self.toasts.say_with_retry(words::error(kind), retry),
            kind => self.toasts.say(words::error(kind)),
        }
    }

    /// Runs a call whose only outcome to be told is a failure.
    pub fn run<F>(self, call: impl Fn(Account) -> F + Clone + 'static)
    where
        F: Future<Output = Result<(), Error>> + 'static,
    {
        let account = self.account();
        dioxus::core::spawn_forever(async move {
            if let Err(error) = call(account).await {
                self.failed(&error, move || self.run(call.clone()));
            }
        });
    }

    /// Forgets everything here; the page begins anew.
    pub fn sign_out(mut self) {
        let account = self.account();
        self.close();
        // Nothing can be done any more with an account that is about to go.
        self.phase.set(Phase::Starting);
        dioxus::core::spawn_forever(async move {
            if let Err(error) = account.sign_out().await {
                tracing::warn!(%error, "this device could not forget the account");
            }
            platform::set_title("Kith");
            self.phase.set(Phase::SignedOut);
        });
    }
}

/// Sets a signal from a task that may have outlived the component that owns it.
pub fn put<T: 'static>(mut signal: Signal<T>, value: T) {
    if let Ok(mut place) = signal.try_write() {
        *place = value;
    }
}

pub fn use_session() -> Session {
    use_context::<Session>()
}
