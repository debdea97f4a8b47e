//! Profiles: the display name, the avatar, and any further field that a user gives themselves.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#profiles)

use std::collections::BTreeMap;

use kith_store::{Batch, Change, Json, Scan, Store, tables};
use ruma::{MxcUri, OwnedUserId, UserId};
use serde_json::Value;

use super::directory;
use crate::locks::KeyedLocks;

pub const DISPLAY_NAME: &str = "displayname";
pub const AVATAR_URL: &str = "avatar_url";

/// All fields by name.
pub type Profile = BTreeMap<String, Value>;

/// The longest field name, in bytes.
const NAME: usize = 255;
/// The longest display name, in bytes.
const DISPLAY_NAME_LENGTH: usize = 1024;
/// The longest avatar URL, in bytes.
const AVATAR_URL_LENGTH: usize = 1024;
/// A profile is smaller than this, as canonical JSON in bytes.
const PROFILE: usize = 64 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    #[error("the field's name has more than {NAME} bytes")]
    KeyTooLarge,
    #[error("the whole profile would have more than 64 KiB")]
    ProfileTooLarge,
    #[error("{0}")]
    InvalidKey(&'static str),
    #[error("{0}")]
    InvalidValue(&'static str),
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

/// The profiles of one team's users. Cheap to clone.
#[derive(Clone)]
pub struct Profiles {
    store: Store,
    /// Held while a profile is changed.
    locks: KeyedLocks<OwnedUserId>,
}

impl Profiles {
    pub fn new(store: Store) -> Self {
        Self { store, locks: KeyedLocks::default() }
    }

    /// Empty if the user has not set anything.
    pub async fn get(&self, user_id: &UserId) -> Result<Profile, kith_store::Error> {
        // Bounded by the size of a profile.
        let rows = self.store.scan(&tables::PROFILES, Scan::prefix(&(user_id.to_owned(),))).await?;
        Ok(rows.into_iter().map(|((_, field), Json(value))| (field, value)).collect())
    }

    pub async fn field(
        &self,
        user_id: &UserId,
        field: &str,
    ) -> Result<Option<Value>, kith_store::Error> {
        let key = (user_id.to_owned(), field.to_owned());
        Ok(self.store.get(&tables::PROFILES, &key).await?.map(|Json(value)| value))
    }

    /// Sets a field; an empty display name or avatar removes it. Answers whether anything changed.
    pub async fn set(
        &self,
        user_id: &UserId,
        field: &str,
        value: Value,
    ) -> Result<bool, ProfileError> {
        check_name(field)?;
        check_value(field, &value)?;
        let is_basic = matches!(field, DISPLAY_NAME | AVATAR_URL);
        if is_basic && value.as_str().is_some_and(str::is_empty) {
            return self.delete(user_id, field).await;
        }
        let _guard = self.locks.lock(user_id.to_owned()).await;
        let mut profile = self.get(user_id).await?;
        let before = profile.insert(field.to_owned(), value.clone());
        if before.as_ref() == Some(&value) {
            return Ok(false);
        }
        // Without spaces, as canonical JSON is; the order of keys does not change the size.
        if serde_json::to_vec(&profile).map_or(true, |json| json.len() >= PROFILE) {
            return Err(ProfileError::ProfileTooLarge);
        }
        let mut batch = Batch::new();
        let user_id = user_id.to_owned();
        if field == DISPLAY_NAME {
            let before = before.as_ref().and_then(Value::as_str);
            directory::rename(&mut batch, &user_id, before, value.as_str());
        }
        batch.put(&tables::PROFILES, &(user_id.clone(), field.to_owned()), &Json(value));
        batch.publish(Change::Profile { user: user_id });
        self.store.commit(batch).await?;
        Ok(true)
    }

    /// Removes a field. Answers whether it was there.
    pub async fn delete(&self, user_id: &UserId, field: &str) -> Result<bool, ProfileError> {
        check_name(field)?;
        let _guard = self.locks.lock(user_id.to_owned()).await;
        let Some(before) = self.field(user_id, field).await? else { return Ok(false) };
        let mut batch = Batch::new();
        let user_id = user_id.to_owned();
        if field == DISPLAY_NAME {
            directory::rename(&mut batch, &user_id, before.as_str(), None);
        }
        batch.delete(&tables::PROFILES, &(user_id.clone(), field.to_owned()));
        batch.publish(Change::Profile { user: user_id });
        self.store.commit(batch).await?;
        Ok(true)
    }

    /// Removes the whole profile, and the user from the directory.
    pub async fn clear(&self, user_id: &UserId) -> Result<(), kith_store::Error> {
        let _guard = self.locks.lock(user_id.to_owned()).await;
        let profile = self.get(user_id).await?;
        let user_id = user_id.to_owned();
        let mut batch = Batch::new();
        let name = profile.get(DISPLAY_NAME).and_then(Value::as_str);
        directory::remove(&mut batch, &user_id, name);
        for field in profile.into_keys() {
            batch.delete(&tables::PROFILES, &(user_id.clone(), field));
        }
        batch.publish(Change::Profile { user: user_id });
        self.store.commit(batch).await?;
        Ok(())
    }
}

/// The profile of an account that is being made: a display name, if they have one.
pub(super) fn begin(batch: &mut Batch, user_id: &OwnedUserId, display_name: Option<&str>) {
    directory::add(batch, user_id, display_name);
    if let Some(name) = display_name {
        let key = (user_id.clone(), DISPLAY_NAME.to_owned());
        batch.put(&tables::PROFILES, &key, &Json(name.into()));
    }
}

/// `avatar_url`, `displayname`, or by the Common Namespaced Identifier Grammar.
fn check_name(field: &str) -> Result<(), ProfileError> {
    if field.len() > NAME {
        return Err(ProfileError::KeyTooLarge);
    }
    if matches!(field, DISPLAY_NAME | AVATAR_URL) {
        return Ok(());
    }
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if field.starts_with(|c: char| c.is_ascii_lowercase()) && field.chars().all(allowed) {
        Ok(())
    } else {
        Err(ProfileError::InvalidKey("a field's name begins with a-z and has a-z 0-9 - _ . alone"))
    }
}

fn check_value(field: &str, value: &Value) -> Result<(), ProfileError> {
    let invalid = |reason| Err(ProfileError::InvalidValue(reason));
    match (field, value) {
        (DISPLAY_NAME, Value::String(name)) if name.len() > DISPLAY_NAME_LENGTH => {
            invalid("the display name is too long")
        }
        (AVATAR_URL, Value::String(url)) if url.len() > AVATAR_URL_LENGTH => {
            invalid("the avatar URL is too long")
        }
        (AVATAR_URL, Value::String(url)) if !url.is_empty() => {
            let url: &MxcUri = url.as_str().into();
            if url.is_valid() { Ok(()) } else { invalid("avatar_url is not an mxc:// URL") }
        }
        (DISPLAY_NAME | AVATAR_URL | "m.tz", Value::String(_)) => Ok(()),
        (DISPLAY_NAME | AVATAR_URL | "m.tz", _) => invalid("the value is not a string"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_follow_the_grammar() {
        for good in ["displayname", "avatar_url", "m.tz", "com.example.job-title", "a"] {
            check_name(good).expect(good);
        }
        for bad in ["", "1a", "Com.example", "com.ex ample", "_a", "é", "a/b"] {
            assert!(matches!(check_name(bad), Err(ProfileError::InvalidKey(_))), "{bad}");
        }
        check_name(&"a".repeat(255)).expect("255 bytes");
        assert!(matches!(check_name(&"a".repeat(256)), Err(ProfileError::KeyTooLarge)));
    }

    #[test]
    fn values_have_the_type_of_their_field() {
        check_value("displayname", &json!("Alice")).expect("a name");
        check_value("avatar_url", &json!("mxc://kith/abc")).expect("an avatar");
        check_value("avatar_url", &json!("")).expect("no avatar");
        check_value("m.tz", &json!("Europe/Prague")).expect("a time zone");
        check_value("com.example.x", &json!({ "any": [1, null] })).expect("any JSON");
        check_value("displayname", &json!(7)).expect_err("no string");
        check_value("displayname", &json!("x".repeat(1025))).expect_err("too long");
        check_value("avatar_url", &json!("https://kith/abc")).expect_err("no mxc URL");
        check_value("m.tz", &json!(null)).expect_err("no string");
    }
}
