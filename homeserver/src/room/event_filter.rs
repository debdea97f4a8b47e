//! Does an event pass a client's filter?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#filtering)

use ruma::{
    UserId,
    api::client::filter::{RoomEventFilter, UrlFilter},
};
use serde::Deserialize;

use super::event::Event;

/// Whether the room's events are wanted at all.
pub fn wants_room(filter: &RoomEventFilter, room_id: &ruma::RoomId) -> bool {
    !filter.not_rooms.iter().any(|not| not == room_id)
        && filter.rooms.as_ref().is_none_or(|rooms| rooms.iter().any(|room| room == room_id))
}

pub fn matches(filter: &RoomEventFilter, event: &Event) -> bool {
    matches_names(filter, &event.kind.to_string(), Some(&event.sender))
        && filter.url_filter.as_ref().is_none_or(|url| {
            #[derive(Deserialize)]
            struct Content {
                url: Option<serde_json::Value>,
            }
            let has_url = event
                .content_as::<Content>()
                .is_some_and(|content| content.url.is_some_and(|url| url.is_string()));
            has_url == (*url == UrlFilter::EventsWithUrl)
        })
}

/// The part of a filter that looks at type and sender.
pub fn matches_names(filter: &RoomEventFilter, kind: &str, sender: Option<&UserId>) -> bool {
    wanted(&filter.types, &filter.not_types, kind)
        && sender.is_none_or(|sender| {
            !filter.not_senders.iter().any(|not| not == sender)
                && filter
                    .senders
                    .as_ref()
                    .is_none_or(|senders| senders.iter().any(|wanted| wanted == sender))
        })
}

/// Whether a type passes a list of wanted and a list of unwanted ones; `*` stands for anything.
pub fn wanted(types: &Option<Vec<String>>, not_types: &[String], kind: &str) -> bool {
    !not_types.iter().any(|pattern| glob(pattern, kind))
        && types.as_ref().is_none_or(|types| types.iter().any(|pattern| glob(pattern, kind)))
}

/// `*` matches any run of characters. Linear in the length of the text for each `*`-free part.
fn glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn stars_match_any_run_and_nothing_else_is_special() {
        let cases = [
            ("m.room.message", "m.room.message", true),
            ("m.room.message", "m.room.messages", false),
            ("m.room.*", "m.room.name", true),
            ("*", "", true),
            ("*.name", "m.room.name", true),
            ("m.*.na*e", "m.room.name", true),
            ("a*a", "a", false),
            ("m.room.?ame", "m.room.name", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(glob(pattern, text), expected, "{pattern} on {text}");
        }
    }
}
