//! One line of a timeline.

use crate::{Person, html::HtmlNode, media::MediaHandle};

use crate::rooms::PreviewKind;

/// A row; `key` stays the same as long as the row is the same thing, also when a local echo is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct TimelineRow {
    pub key: String,
    pub item: Item,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    Message(Box<Message>),
    /// The room or its members changed.
    Change(Box<Change>),
    /// A new day begins; milliseconds since the epoch.
    DateDivider(u64),
    /// What is below has not been read.
    ReadMarker,
    /// There is nothing before.
    Start,
}

/// Which message an action is about: of [`Message::id`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ItemId {
    /// `$event`
    Event(String),
    /// Of a message that is not sent yet.
    Transaction(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    pub id: ItemId,
    pub sender: Person,
    /// The user who looks said it.
    pub own: bool,
    /// Milliseconds since the epoch.
    pub time: u64,
    pub content: Content,
    pub edited: bool,
    pub reply: Option<Reply>,
    /// Messages in the thread that begins here.
    pub thread_replies: u32,
    /// The message belongs to the thread of this event.
    pub in_thread: Option<String>,
    pub reactions: Vec<Reaction>,
    /// Who has read up to here, the first few; without the user who looks.
    pub read_by: Vec<Person>,
    pub send_state: SendState,
    /// Calls for the user who looks.
    pub highlighted: bool,
    pub can_edit: bool,
    pub can_redact: bool,
    pub can_reply: bool,
    /// What is to be said of the encryption; `None` if all is well or nothing is encrypted.
    pub shield: Option<Shield>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    Text(Text),
    /// By a bot.
    Notice(Text),
    /// `* Alice waves`
    Emote(Text),
    Image(Picture),
    Sticker(Picture),
    Video(Video),
    Audio(Audio),
    File(File),
    /// `geo:51.5,-0.1`, and what the sender says of it.
    Location {
        geo: String,
        text: String,
    },
    Poll {
        question: String,
    },
    Redacted,
    UnableToDecrypt(Reason),
    /// Somebody calls.
    Call,
    /// A kind that this client cannot show.
    Unsupported(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Without formatting, as it was written.
    pub plain: String,
    /// To be drawn.
    pub nodes: Vec<HtmlNode>,
    /// Nothing but a few emoji: to be drawn large.
    pub only_emoji: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    pub name: String,
    pub media: MediaHandle,
    /// A smaller one, if the sender made one.
    pub thumbnail: Option<MediaHandle>,
    pub width: Option<u32>,
    pub height: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
    /// `image/png`
    pub mime: Option<String>,
    pub blurhash: Option<String>,
    pub caption: Option<Text>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    pub picture: Picture,
    pub milliseconds: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    pub file: File,
    pub milliseconds: Option<u64>,
    /// A voice message, not a piece of music.
    pub voice: bool,
    /// Loudness from 0 to 1, the whole of it in equal steps.
    pub waveform: Vec<f32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub name: String,
    pub media: MediaHandle,
    pub size: Option<u64>,
    pub mime: Option<String>,
    pub caption: Option<Text>,
}

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The key may still come.
    WaitingForKey,
    /// It was said before the user was in the room.
    BeforeJoining,
    /// Said before this device was there, and there is no backup here: restoring the recovery may help.
    BeforeThisDevice,
    /// The sender's device is not verified, or their identity has changed.
    SenderNotTrusted,
    Unknown,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub event_id: String,
    /// `None` until it has been fetched: [`super::Timeline::fetch_reply`].
    pub quoted: Option<Quoted>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Quoted {
    pub sender: Person,
    pub preview: PreviewKind,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reaction {
    /// An emoji, normally.
    pub key: String,
    pub count: usize,
    /// The user who looks is among them.
    pub mine: bool,
    /// The first few.
    pub who: Vec<Person>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum SendState {
    /// It is with the server.
    Sent,
    Sending,
    /// `retryable`: it waits for the network, or for [`super::Timeline::retry`]. Else only
    /// [`super::Timeline::cancel`] is of use.
    Failed {
        retryable: bool,
        kind: crate::ErrorKind,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shield {
    /// Worth a warning, not only a hint.
    pub severe: bool,
    pub code: ShieldCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShieldCode {
    /// The key came by a way that proves nothing.
    NotGuaranteed,
    UnknownDevice,
    /// A device that its owner has not verified.
    UnverifiedDevice,
    UnverifiedSender,
    /// The sender was verified once, and is somebody else now.
    ChangedSender,
    WrongSender,
    /// Not encrypted, in an encrypted room.
    SentInClear,
}

/// A state event, told in a line.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub event_id: String,
    pub sender: Person,
    pub time: u64,
    pub kind: ChangeKind,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ChangeKind {
    Joined,
    /// `who` is the member whom it is about, the sender's other end.
    Invited {
        who: Person,
    },
    Left,
    Removed {
        who: Person,
    },
    Banned {
        who: Person,
    },
    Unbanned {
        who: Person,
    },
    DeclinedInvite,
    RevokedInvite {
        who: Person,
    },
    Knocked,
    ChangedName {
        from: Option<String>,
        to: Option<String>,
    },
    ChangedAvatar,
    RoomCreated,
    RoomNamed(Option<String>),
    TopicSet(Option<String>),
    RoomAvatarSet,
    EncryptionEnabled,
    PermissionsChanged,
    AccessChanged,
    HistoryChanged,
    Pinned,
    Replaced,
    /// Of this event type.
    Other(String),
}
