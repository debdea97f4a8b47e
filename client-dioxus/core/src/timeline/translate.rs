//! The SDK's timeline items as rows.

use std::{collections::HashMap, sync::Arc};

use futures_util::{FutureExt, future::LocalBoxFuture};
use matrix_sdk::{
    Room,
    ruma::{OwnedUserId, UserId, events::StateEventContentChange},
};
use matrix_sdk_ui::timeline::{
    AnyOtherStateEventContentChange as State, EventSendState, EventTimelineItem, InReplyToDetails,
    MembershipChange, Profile, ReactionsByKeyBySender, TimelineDetails, TimelineEventShieldState,
    TimelineEventShieldStateCode as Code, TimelineItem, TimelineItemContent, TimelineItemKind,
    VirtualTimelineItem,
};

use super::{
    Change, ChangeKind, Content, Item, ItemId, Message, Quoted, Reaction, Reply, SendState, Shield,
    ShieldCode, TimelineRow,
    content::{content_of, preview_of},
};
use crate::{Error, Person, changes::AsyncRow, room::person};

/// Faces beside a reaction or below a message.
const MAX_FACES: usize = 8;
/// Names that are remembered.
const MAX_NAMES: usize = 2_000;

/// Makes rows, and remembers who is who.
pub(super) struct RowMaker {
    room: Room,
    own: OwnedUserId,
    may_redact_others: bool,
    names: HashMap<OwnedUserId, Person>,
}

impl AsyncRow<Arc<TimelineItem>, TimelineRow> for RowMaker {
    fn row(&mut self, item: Arc<TimelineItem>) -> LocalBoxFuture<'_, TimelineRow> {
        async move {
            let key = item.unique_id().0.clone();
            let item = match item.kind() {
                TimelineItemKind::Event(event) => self.event(event).await,
                TimelineItemKind::Virtual(VirtualTimelineItem::DateDivider(time)) => {
                    Item::DateDivider(time.get().into())
                }
                TimelineItemKind::Virtual(VirtualTimelineItem::ReadMarker) => Item::ReadMarker,
                TimelineItemKind::Virtual(VirtualTimelineItem::TimelineStart) => Item::Start,
            };
            TimelineRow { key, item }
        }
        .boxed_local()
    }
}

impl RowMaker {
    pub(super) async fn new(room: Room) -> Self {
        let own = room.own_user_id().to_owned();
        let levels = room.power_levels_or_default().await;
        let may_redact_others = levels.user_can_redact_event_of_other(&own);
        Self { room, own, may_redact_others, names: HashMap::new() }
    }

    async fn event(&mut self, event: &EventTimelineItem) -> Item {
        let sender = Person::of(event.sender(), event.sender_profile());
        if event.sender_profile().is_ready() {
            self.remember(event.sender(), &sender);
        }
        if let Some(kind) = self.change(event.content()).await {
            return Item::Change(Box::new(Change {
                event_id: event.event_id().map(ToString::to_string).unwrap_or_default(),
                sender,
                time: event.timestamp().get().into(),
                kind,
            }));
        }
        let content = match event.content() {
            TimelineItemContent::MsgLike(content) => content_of(content),
            TimelineItemContent::CallInvite | TimelineItemContent::RtcNotification { .. } => {
                Content::Call
            }
            other => Content::Unsupported(other.event_type_str().unwrap_or_default()),
        };
        let redacted = content == Content::Redacted;
        let own = event.is_own();
        let like = event.content().as_msglike();
        Item::Message(Box::new(Message {
            id: ItemId::of(event.identifier()),
            sender,
            own,
            time: event.timestamp().get().into(),
            edited: event.content().as_message().is_some_and(|message| message.is_edited()),
            reply: event.content().in_reply_to().map(|reply| quoted(&reply)),
            thread_replies: event.content().thread_summary().map_or(0, |it| it.num_replies),
            in_thread: event.content().thread_root().map(|root| root.to_string()),
            reactions: match like {
                Some(like) => self.reactions(&like.reactions).await,
                None => Vec::new(),
            },
            read_by: self.readers(event).await,
            send_state: send_state(event.send_state()),
            highlighted: event.is_highlighted(),
            can_edit: event.is_editable(),
            can_redact: !redacted && (own || self.may_redact_others),
            can_reply: event.can_be_replied_to(),
            shield: shield(event.get_shield(false)),
            content,
        }))
    }

    async fn reactions(&mut self, reactions: &ReactionsByKeyBySender) -> Vec<Reaction> {
        let mut rows = Vec::with_capacity(reactions.len());
        for (key, senders) in reactions.iter() {
            let mut who = Vec::new();
            for sender in senders.keys().take(MAX_FACES) {
                who.push(self.person(sender).await);
            }
            let (count, mine) = (senders.len(), senders.contains_key(&self.own));
            rows.push(Reaction { key: key.clone(), count, mine, who });
        }
        rows
    }

    async fn readers(&mut self, event: &EventTimelineItem) -> Vec<Person> {
        let mut readers = Vec::new();
        let others = event.read_receipts().keys().filter(|user| **user != self.own);
        let others: Vec<OwnedUserId> = others.take(MAX_FACES).cloned().collect();
        for user in others {
            if user != event.sender() {
                readers.push(self.person(&user).await);
            }
        }
        readers
    }

    async fn person(&mut self, user: &UserId) -> Person {
        if let Some(person) = self.names.get(user) {
            return person.clone();
        }
        let found = person(&self.room, user).await;
        self.remember(user, &found);
        found
    }

    fn remember(&mut self, user: &UserId, person: &Person) {
        if self.names.len() < MAX_NAMES || self.names.contains_key(user) {
            self.names.insert(user.to_owned(), person.clone());
        }
    }

    async fn change(&mut self, content: &TimelineItemContent) -> Option<ChangeKind> {
        Some(match content {
            TimelineItemContent::MembershipChange(change) => {
                let who = match change.display_name() {
                    Some(name) => Person::named(change.user_id(), Some(&name), false, None),
                    None => self.person(change.user_id()).await,
                };
                membership(change.change(), who)
            }
            TimelineItemContent::ProfileChange(change) => match change.displayname_change() {
                Some(name) => {
                    ChangeKind::ChangedName { from: name.old.clone(), to: name.new.clone() }
                }
                None => ChangeKind::ChangedAvatar,
            },
            TimelineItemContent::OtherState(state) => other(state.content()),
            TimelineItemContent::FailedToParseState { event_type, .. } => {
                ChangeKind::Other(event_type.to_string())
            }
            _ => return None,
        })
    }
}

fn membership(change: Option<MembershipChange>, who: Person) -> ChangeKind {
    use MembershipChange as Is;
    match change {
        Some(Is::Joined | Is::InvitationAccepted) => ChangeKind::Joined,
        Some(Is::Left) => ChangeKind::Left,
        Some(Is::Invited | Is::KnockAccepted) => ChangeKind::Invited { who },
        Some(Is::Kicked | Is::KnockDenied) => ChangeKind::Removed { who },
        Some(Is::Banned | Is::KickedAndBanned) => ChangeKind::Banned { who },
        Some(Is::Unbanned) => ChangeKind::Unbanned { who },
        Some(Is::InvitationRejected | Is::KnockRetracted) => ChangeKind::DeclinedInvite,
        Some(Is::InvitationRevoked) => ChangeKind::RevokedInvite { who },
        Some(Is::Knocked) => ChangeKind::Knocked,
        _ => ChangeKind::Other("m.room.member".to_owned()),
    }
}

fn other(content: &State) -> ChangeKind {
    match content {
        State::RoomCreate(_) => ChangeKind::RoomCreated,
        State::RoomName(StateEventContentChange::Original { content, .. }) => {
            ChangeKind::RoomNamed(Some(content.name.clone()).filter(|name| !name.is_empty()))
        }
        State::RoomTopic(StateEventContentChange::Original { content, .. }) => {
            ChangeKind::TopicSet(Some(content.topic.clone()).filter(|topic| !topic.is_empty()))
        }
        State::RoomAvatar(_) => ChangeKind::RoomAvatarSet,
        State::RoomEncryption(_) => ChangeKind::EncryptionEnabled,
        State::RoomPowerLevels(_) => ChangeKind::PermissionsChanged,
        State::RoomJoinRules(_) | State::RoomGuestAccess(_) => ChangeKind::AccessChanged,
        State::RoomHistoryVisibility(_) => ChangeKind::HistoryChanged,
        State::RoomPinnedEvents(_) => ChangeKind::Pinned,
        State::RoomTombstone(_) => ChangeKind::Replaced,
        other => ChangeKind::Other(other.event_type().to_string()),
    }
}

fn quoted(reply: &InReplyToDetails) -> Reply {
    let quoted = match &reply.event {
        TimelineDetails::Ready(event) => {
            Some(quoted_of(&event.sender, &event.sender_profile, &event.content))
        }
        _ => None,
    };
    Reply { event_id: reply.event_id.to_string(), quoted }
}

pub(super) fn quoted_of(
    sender: &UserId,
    profile: &TimelineDetails<Profile>,
    content: &TimelineItemContent,
) -> Quoted {
    Quoted { sender: Person::of(sender, profile), preview: preview_of(content) }
}

fn send_state(state: Option<&EventSendState>) -> SendState {
    match state {
        None | Some(EventSendState::Sent { .. }) => SendState::Sent,
        Some(EventSendState::NotSentYet { .. }) => SendState::Sending,
        Some(EventSendState::SendingFailed { error, is_recoverable }) => {
            SendState::Failed { retryable: *is_recoverable, kind: Error::from(&**error).kind() }
        }
    }
}

fn shield(state: TimelineEventShieldState) -> Option<Shield> {
    let (severe, code) = match state {
        TimelineEventShieldState::Red { code } => (true, code),
        TimelineEventShieldState::Grey { code } => (false, code),
        TimelineEventShieldState::None => return None,
    };
    let code = match code {
        Code::AuthenticityNotGuaranteed => ShieldCode::NotGuaranteed,
        Code::UnknownDevice => ShieldCode::UnknownDevice,
        Code::UnsignedDevice => ShieldCode::UnverifiedDevice,
        Code::UnverifiedIdentity => ShieldCode::UnverifiedSender,
        Code::VerificationViolation => ShieldCode::ChangedSender,
        Code::MismatchedSender => ShieldCode::WrongSender,
        Code::SentInClear => ShieldCode::SentInClear,
    };
    Some(Shield { severe, code })
}
