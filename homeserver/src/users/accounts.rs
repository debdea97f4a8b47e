//! Accounts: passwords, deactivation, locks.

use std::sync::Arc;

use kith_store::{
    Batch, Json, Store,
    tables::{self, UserRow},
};
use ruma::{OwnedUserId, UserId};

use super::passwords::Passwords;
use crate::{
    locks::{KeyedGuard, KeyedLocks},
    team::Team,
};

/// The accounts of one team. Cheap to clone.
#[derive(Clone)]
pub struct Users(Arc<Inner>);

struct Inner {
    team: Team,
    store: Store,
    passwords: Passwords,
    /// Held while an account's row is changed.
    locks: KeyedLocks<OwnedUserId>,
}

/// Why somebody is not let into an account.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    #[error("invalid user name or password")]
    WrongPassword,
    #[error("this account is deactivated")]
    Deactivated,
    #[error("this account is locked")]
    Locked,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl Users {
    pub fn new(team: Team, store: Store) -> Self {
        let passwords = Passwords::new(&team.config().password_hash);
        Self(Arc::new(Inner { team, store, passwords, locks: KeyedLocks::default() }))
    }

    /// A local account, deactivated ones too.
    pub async fn get(&self, user_id: &UserId) -> Result<Option<UserRow>, kith_store::Error> {
        Ok(self.0.store.get(&tables::USERS, &user_id.to_owned()).await?.map(|Json(user)| user))
    }

    /// The local account that somebody means who writes a user ID or only its localpart, in
    /// whatever case.
    pub async fn find(&self, name: &str) -> Result<Option<OwnedUserId>, kith_store::Error> {
        let full = match name.strip_prefix('@') {
            Some(_) => name.to_owned(),
            None => format!("@{name}:{}", self.0.team.server_name()),
        };
        for name in [full.to_lowercase(), full] {
            if let Ok(user_id) = UserId::parse(name)
                && self.0.team.is_ours(&user_id)
                && self.get(&user_id).await?.is_some()
            {
                return Ok(Some(user_id));
            }
        }
        Ok(None)
    }

    /// Whether this is the account's password. Takes as long if there is no such account.
    pub async fn check_password(
        &self,
        user_id: Option<&UserId>,
        password: String,
    ) -> Result<(), AccountError> {
        let user = match user_id {
            Some(user_id) => self.get(user_id).await?,
            None => None,
        };
        let hash = user.as_ref().and_then(|user| user.password_hash.clone());
        let right = self.0.passwords.verify(password, hash).await;
        let user = user.ok_or(AccountError::WrongPassword)?;
        if user.deactivated {
            return Err(AccountError::Deactivated);
        }
        if !right {
            return Err(AccountError::WrongPassword);
        }
        if user.locked { Err(AccountError::Locked) } else { Ok(()) }
    }

    /// Sets the password. Other devices stay signed in: see `devices`.
    pub async fn set_password(
        &self,
        user_id: &UserId,
        password: String,
    ) -> Result<(), kith_store::Error> {
        let hash = self.0.passwords.hash(password).await;
        self.change(user_id, |user| user.password_hash = Some(hash)).await
    }

    /// Nobody can sign in to the account any more, and its name stays taken. With `erase` what the
    /// user sent is hidden from those who were not there.
    pub async fn deactivate(&self, user_id: &UserId, erase: bool) -> Result<(), kith_store::Error> {
        self.change(user_id, |user| {
            user.deactivated = true;
            user.erased |= erase;
            user.password_hash = None;
        })
        .await
    }

    /// Sessions stay, and can do nothing but log out, until the account is unlocked.
    pub async fn set_locked(&self, user_id: &UserId, on: bool) -> Result<(), kith_store::Error> {
        self.change(user_id, |user| user.locked = on).await
    }

    /// A suspended user can read and leave but not send.
    pub async fn set_suspended(&self, user_id: &UserId, on: bool) -> Result<(), kith_store::Error> {
        self.change(user_id, |user| user.suspended = on).await
    }

    pub async fn set_admin(&self, user_id: &UserId, on: bool) -> Result<(), kith_store::Error> {
        self.change(user_id, |user| user.admin = on).await
    }

    async fn change(
        &self,
        user_id: &UserId,
        change: impl FnOnce(&mut UserRow),
    ) -> Result<(), kith_store::Error> {
        let _guard = self.lock(user_id).await;
        let Some(mut user) = self.get(user_id).await? else { return Ok(()) };
        change(&mut user);
        let mut batch = Batch::new();
        batch.put(&tables::USERS, &user_id.to_owned(), &Json(user));
        self.0.store.commit(batch).await?;
        Ok(())
    }

    /// Held while the account's row is changed.
    pub(super) async fn lock(&self, user_id: &UserId) -> KeyedGuard<OwnedUserId> {
        self.0.locks.lock(user_id.to_owned()).await
    }

    pub(super) fn team(&self) -> &Team {
        &self.0.team
    }

    pub(super) fn store(&self) -> &Store {
        &self.0.store
    }

    pub(super) fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }
}
