//! Saying something, and taking it back.
//!
//! What is sent is on the screen at once and waits for the network; its row tells how it goes
//! ([`super::SendState`]). So these calls fail only where nothing could be put into the queue.

use futures_util::FutureExt;
use matrix_sdk::{
    room::edit::EditedContent,
    ruma::{
        EventId,
        events::room::message::{RoomMessageEventContent, RoomMessageEventContentWithoutRelation},
    },
};

use super::{ItemId, Reply, Timeline, content::message_of, translate::quoted_of};
use crate::{
    Error, ErrorKind,
    timeout::{USUAL, within},
};

/// Longest text, in bytes: an event is at most 65,536, with its HTML and its encryption.
pub const MAX_TEXT: usize = 20_000;
/// A reaction is an emoji, or a few letters.
const MAX_REACTION: usize = 64;

impl Timeline {
    /// Sends text in Markdown; `/me waves` is an emote. Empty text sends nothing. Returns when the text is
    /// among the rows; until then it is [said](Timeline::said).
    ///
    /// Errors: [`ErrorKind::TooLarge`] above [`MAX_TEXT`].
    pub async fn send_text(&self, markdown: &str) -> Result<(), Error> {
        let Some(content) = content(markdown)? else { return Ok(()) };
        let words = message_of(&content.msgtype);
        let content: RoomMessageEventContent = content.into();
        let sending = async { self.sdk().send(content.into()).await.map(drop) };
        self.said.show_while(words, None, sending.boxed_local()).await
    }

    /// As [`Timeline::send_text`], as an answer to an event.
    pub async fn reply(&self, to: &str, markdown: &str) -> Result<(), Error> {
        let to = EventId::parse(to)?;
        let Some(content) = content(markdown)? else { return Ok(()) };
        let timeline = self.sdk();
        let item = timeline.item_by_event_id(&to).await;
        let quoted =
            item.map(|item| quoted_of(item.sender(), item.sender_profile(), item.content()));
        let reply = Reply { event_id: to.to_string(), quoted };
        let words = message_of(&content.msgtype);
        let sending = timeline.send_reply(content, to);
        self.said.show_while(words, Some(reply), sending.boxed_local()).await
    }

    /// Replaces the text of one's own message, or the caption of one's own picture or file.
    pub async fn edit(&self, id: &ItemId, markdown: &str) -> Result<(), Error> {
        let item = id.for_sdk()?;
        let Some(content) = content(markdown)? else { return Ok(()) };
        let edited = match self.has_media(id).await? {
            true => {
                let formatted_caption = formatted(&content);
                let caption = Some(content.msgtype.body().to_owned());
                EditedContent::MediaCaption { caption, formatted_caption, mentions: None }
            }
            false => EditedContent::RoomMessage(content),
        };
        within(USUAL, self.sdk().edit(&item, edited)).await
    }

    /// Adds one's reaction, or takes it back. True: it was added.
    pub async fn toggle_reaction(&self, id: &ItemId, key: &str) -> Result<bool, Error> {
        if key.is_empty() || key.len() > MAX_REACTION {
            return Err(ErrorKind::TooLarge.into());
        }
        within(USUAL, self.sdk().toggle_reaction(&id.for_sdk()?, key)).await
    }

    /// Deletes a message for everybody; one that is not sent yet is not sent.
    ///
    /// Errors: [`ErrorKind::Forbidden`], [`ErrorKind::NotFound`], network.
    pub async fn redact(&self, id: &ItemId, reason: Option<&str>) -> Result<(), Error> {
        within(USUAL, self.sdk().redact(&id.for_sdk()?, reason)).await
    }

    /// Sends a message again that has failed, and those that wait behind it.
    pub async fn retry(&self, id: &ItemId) -> Result<(), Error> {
        let handle = self.send_handle(id).await?;
        within(USUAL, async {
            handle.unwedge().await.map_err(Error::other)?;
            self.room().send_queue().set_enabled(true);
            Ok::<_, Error>(())
        })
        .await
    }

    /// Takes a message back that is not sent yet. False: too late, it is on its way.
    pub async fn cancel(&self, id: &ItemId) -> Result<bool, Error> {
        let handle = self.send_handle(id).await?;
        within(USUAL, async { handle.abort().await.map_err(Error::other) }).await
    }

    /// Tells the others that the user is typing, or no longer is. May be called at each key press: the
    /// server is told every few seconds only.
    pub async fn set_typing(&self, typing: bool) -> Result<(), Error> {
        within(USUAL, self.room().typing_notice(typing)).await
    }

    async fn send_handle(&self, id: &ItemId) -> Result<matrix_sdk::send_queue::SendHandle, Error> {
        let item = id.for_sdk()?;
        let items = self.sdk().items().await;
        let events = items.iter().rev().filter_map(|item| item.as_event());
        let found = events.into_iter().find(|event| event.identifier() == item);
        found.and_then(|event| event.local_echo_send_handle()).ok_or(ErrorKind::NotFound.into())
    }

    async fn has_media(&self, id: &ItemId) -> Result<bool, Error> {
        use matrix_sdk::ruma::events::room::message::MessageType::{Audio, File, Image, Video};
        let item = id.for_sdk()?;
        let items = self.sdk().items().await;
        let events = items.iter().rev().filter_map(|item| item.as_event());
        let found = events.into_iter().find(|event| event.identifier() == item);
        let message = found.and_then(|event| event.content().as_message());
        let kind = message.map(|message| message.msgtype());
        Ok(matches!(kind, Some(Audio(_) | File(_) | Image(_) | Video(_))))
    }
}

fn content(markdown: &str) -> Result<Option<RoomMessageEventContentWithoutRelation>, Error> {
    if markdown.len() > MAX_TEXT {
        return Err(ErrorKind::TooLarge.into());
    }
    let text = markdown.trim();
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(match text.strip_prefix("/me ") {
        Some(what) => RoomMessageEventContentWithoutRelation::emote_markdown(what.trim()),
        None => RoomMessageEventContentWithoutRelation::text_markdown(text),
    }))
}

fn formatted(
    content: &RoomMessageEventContentWithoutRelation,
) -> Option<matrix_sdk::ruma::events::room::message::FormattedBody> {
    use matrix_sdk::ruma::events::room::message::MessageType::Text;
    match &content.msgtype {
        Text(text) => text.formatted.clone(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::events::room::message::MessageType;

    use super::*;

    fn of(markdown: &str) -> MessageType {
        content(markdown).expect("short enough").expect("not empty").msgtype
    }

    #[test]
    fn text_is_markdown_and_me_is_an_emote() {
        let MessageType::Text(text) = of(" a **b** ") else { panic!("a text") };
        assert_eq!(text.body, "a **b**");
        assert_eq!(text.formatted.expect("formatted").body, "a <strong>b</strong>");
        let MessageType::Text(text) = of("plain") else { panic!("a text") };
        assert!(text.formatted.is_none());
        let MessageType::Emote(emote) = of("/me waves") else { panic!("an emote") };
        assert_eq!(emote.body, "waves");
    }

    #[test]
    fn nothing_is_not_sent_and_neither_is_a_book() {
        assert!(matches!(content("  \n"), Ok(None)));
        let book = "a".repeat(MAX_TEXT + 1);
        assert_eq!(content(&book).map(drop).map_err(|it| it.kind()), Err(ErrorKind::TooLarge));
    }
}
