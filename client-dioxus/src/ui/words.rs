//! What the core's kinds are called by people.

use kith_client_core::rooms::{PreviewKind, RoomName};
use kith_client_core::timeline::{Change, ChangeKind, Happening, Part, Summary};
use kith_client_core::{ErrorKind, Person};

use crate::t;

pub fn room_name(name: &RoomName) -> String {
    match name {
        RoomName::Named(name) => name.clone(),
        RoomName::EmptyWas(name) => t!("room-empty-was", name: name.clone()),
        RoomName::Empty => t!("room-empty"),
    }
}

/// One line about a message.
pub fn preview(kind: &PreviewKind) -> String {
    match kind {
        PreviewKind::Text(text) => text.clone(),
        PreviewKind::Emote(text) => format!("* {text}"),
        PreviewKind::Image => t!("preview-image"),
        PreviewKind::Video => t!("preview-video"),
        PreviewKind::Audio => t!("preview-audio"),
        PreviewKind::Voice => t!("voice-message"),
        PreviewKind::File(name) => name.clone(),
        PreviewKind::Sticker(name) => t!("preview-sticker", name: name.clone()),
        PreviewKind::Location => t!("preview-location"),
        PreviewKind::Poll(question) => t!("poll", question: question.clone()),
        PreviewKind::Redacted => t!("message-deleted"),
        PreviewKind::Undecryptable => t!("preview-encrypted"),
        PreviewKind::Call => t!("call-started"),
        PreviewKind::Change => t!("preview-change"),
        PreviewKind::Invited => t!("preview-invited"),
        PreviewKind::Other => t!("preview-other"),
    }
}

/// What happened to a room, in a line.
pub fn change(change: &Change) -> String {
    let name = change.sender.name.clone();
    let nobody = String::new;
    match &change.kind {
        ChangeKind::Joined => t!("change-joined", name: name),
        ChangeKind::Invited { who } => t!("change-invited", name: name, who: who.name.clone()),
        ChangeKind::Left => t!("change-left", name: name),
        ChangeKind::Removed { who } => t!("change-removed", name: name, who: who.name.clone()),
        ChangeKind::Banned { who } => t!("change-banned", name: name, who: who.name.clone()),
        ChangeKind::Unbanned { who } => t!("change-unbanned", name: name, who: who.name.clone()),
        ChangeKind::DeclinedInvite => t!("change-declined", name: name),
        ChangeKind::RevokedInvite { who } => {
            t!("change-revoked", name: name, who: who.name.clone())
        }
        ChangeKind::Knocked => t!("change-knocked", name: name),
        ChangeKind::ChangedName { to, .. } => {
            t!("change-name", name: name, to: to.clone().unwrap_or_else(nobody))
        }
        ChangeKind::ChangedAvatar => t!("change-avatar", name: name),
        ChangeKind::RoomCreated => t!("change-created", name: name),
        ChangeKind::RoomNamed(Some(to)) => t!("change-room-name", name: name, to: to.clone()),
        ChangeKind::RoomNamed(None) => t!("change-room-unnamed", name: name),
        ChangeKind::TopicSet(Some(to)) => t!("change-topic", name: name, to: to.clone()),
        ChangeKind::TopicSet(None) => t!("change-no-topic", name: name),
        ChangeKind::RoomAvatarSet => t!("change-room-avatar", name: name),
        ChangeKind::EncryptionEnabled => t!("change-encrypted", name: name),
        ChangeKind::PermissionsChanged => t!("change-permissions", name: name),
        ChangeKind::AccessChanged => t!("change-access", name: name),
        ChangeKind::HistoryChanged => t!("change-history", name: name),
        ChangeKind::Pinned => t!("change-pinned", name: name),
        ChangeKind::Replaced => t!("change-replaced", name: name),
        ChangeKind::Other(kind) => t!("change-other", name: name, kind: kind.clone()),
    }
}

/// What happened to a room in a run of changes, in a line.
pub fn summary(summary: &Summary) -> String {
    let parts = summary.parts.iter().map(part);
    parts.reduce(|before, after| t!("fold-and", before: before, after: after)).unwrap_or_default()
}

fn part(part: &Part) -> String {
    let (names, count) = (names(&part.who), part.who.len());
    match part.happening {
        Happening::Created { settings: 0 } => t!("change-created", name: names),
        Happening::Created { settings } => t!("fold-created", names: names, count: settings),
        Happening::Set { settings } => t!("fold-set", names: names, count: settings),
        Happening::Invited => t!("fold-invited", names: names, count: count),
        Happening::Joined => t!("change-joined", name: names),
        Happening::Left => t!("change-left", name: names),
        Happening::CameAndWent => t!("fold-came-and-went", names: names),
        Happening::CameBack => t!("fold-came-back", names: names),
        Happening::Removed => t!("fold-removed", names: names, count: count),
        Happening::Banned => t!("fold-banned", names: names, count: count),
        Happening::Unbanned => t!("fold-unbanned", names: names, count: count),
        Happening::DeclinedInvite => t!("fold-declined", names: names, count: count),
        Happening::Uninvited => t!("fold-uninvited", names: names, count: count),
        Happening::Knocked => t!("fold-knocked", names: names),
        Happening::ChangedProfile => t!("fold-profile", names: names),
    }
}

/// `Bob, Carol and 3 others`
fn names(who: &[Person]) -> String {
    let name = |index: usize| who[index].name.clone();
    match who.len() {
        0 => String::new(),
        1 => name(0),
        2 => t!("names-two", first: name(0), second: name(1)),
        3 => t!("names-three", first: name(0), second: name(1), third: name(2)),
        all => t!("names-many", first: name(0), second: name(1), others: all - 2, all: all),
    }
}

/// What went wrong, and what can be done.
pub fn error(kind: ErrorKind) -> String {
    let key = match kind {
        ErrorKind::Offline => "error-offline",
        ErrorKind::Timeout => "error-timeout",
        ErrorKind::NotAHomeserver => "error-not-a-homeserver",
        ErrorKind::ServerTooOld => "error-server-too-old",
        ErrorKind::WrongPassword => "error-wrong-password",
        ErrorKind::AccountClosed => "error-account-closed",
        ErrorKind::UserNameTaken => "error-name-taken",
        ErrorKind::InvalidUserName => "error-invalid-name",
        ErrorKind::WeakPassword => "error-weak-password",
        ErrorKind::RegistrationClosed => "error-registration-closed",
        ErrorKind::TokenNeeded => "error-token-needed",
        ErrorKind::WrongToken => "error-wrong-token",
        ErrorKind::RegistrationElsewhere => "error-registration-elsewhere",
        ErrorKind::SessionLost => "error-session-lost",
        ErrorKind::SlowDown => "error-slow-down",
        ErrorKind::Forbidden => "error-forbidden",
        ErrorKind::NotFound => "error-not-found",
        ErrorKind::TooLarge => "error-too-large",
        ErrorKind::QuotaExceeded => "error-quota",
        ErrorKind::WrongRecoveryKey => "error-wrong-recovery-key",
        ErrorKind::NoRecovery => "error-no-recovery",
        ErrorKind::InvalidAddress => "error-invalid-address",
        ErrorKind::NoIdentity => "error-no-identity",
        ErrorKind::Storage => "error-storage",
        ErrorKind::Cancelled => "error-cancelled",
        ErrorKind::NotSupported => "error-not-supported",
        ErrorKind::Other => "error-other",
    };
    t!(key)
}
