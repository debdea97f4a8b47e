//! Somebody as a row shows them.

use matrix_sdk::ruma::UserId;
use matrix_sdk_ui::timeline::{Profile, TimelineDetails};

use crate::media::MediaHandle;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Person {
    /// `@alice:team.example`
    pub id: String,
    /// What they call themselves; the user ID if nothing is known or somebody else in the room bears the same
    /// name, in which case both are given: `Alice (@alice:team.example)`.
    pub name: String,
    pub avatar: Option<MediaHandle>,
}

impl Person {
    pub(crate) fn unknown(id: &UserId) -> Self {
        Self { id: id.to_string(), name: id.to_string(), avatar: None }
    }

    pub(crate) fn named(
        id: &UserId,
        name: Option<&str>,
        ambiguous: bool,
        avatar: Option<&matrix_sdk::ruma::MxcUri>,
    ) -> Self {
        let name = match name.map(str::trim).filter(|name| !name.is_empty()) {
            Some(name) if ambiguous => format!("{name} ({id})"),
            Some(name) => name.to_owned(),
            None => id.to_string(),
        };
        Self {
            id: id.to_string(),
            name,
            avatar: avatar.map(|uri| MediaHandle::plain(uri.as_str())),
        }
    }

    pub(crate) fn of(id: &UserId, profile: &TimelineDetails<Profile>) -> Self {
        match profile {
            TimelineDetails::Ready(profile) => Self::named(
                id,
                profile.display_name.as_deref(),
                profile.display_name_ambiguous,
                profile.avatar_url.as_deref(),
            ),
            _ => Self::unknown(id),
        }
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::user_id;

    use super::*;

    #[test]
    fn people_are_told_apart_and_never_nameless() {
        let id = user_id!("@alice:team.example");
        let name = |name, ambiguous| Person::named(id, name, ambiguous, None).name;
        assert_eq!(name(Some("Alice"), false), "Alice");
        assert_eq!(name(Some("Alice"), true), "Alice (@alice:team.example)");
        assert_eq!(name(Some("  "), true), "@alice:team.example");
        assert_eq!(name(None, false), "@alice:team.example");
    }
}
