//! Who may make an account, under which name?

use kith_store::{Batch, Json, tables};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId, UserId};
use subtle::ConstantTimeEq;
use tables::UserRow;

use super::{Users, profiles};
use crate::{config::RegistrationToken, random::random_string};

/// The longest user ID in bytes, with `@`, `:` and the server name.
const USER_ID: usize = 255;

/// An account to be made.
#[derive(Default)]
pub struct NewAccount {
    /// Checked by [`Users::free_user_id`]; a random one without.
    pub user_id: Option<OwnedUserId>,
    /// Without one nobody can sign in by password.
    pub password: Option<String>,
    pub guest: bool,
    pub admin: bool,
    /// One use of it is counted, if uses of it are counted.
    pub registration_token: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UsernameError {
    #[error("a user name has only a-z, 0-9 and . _ = - / +, and does not begin with _")]
    Invalid,
    #[error("the user name is too long")]
    TooLong,
    #[error("the user name is taken")]
    InUse,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error(transparent)]
    Username(#[from] UsernameError),
    #[error("the registration token is not valid or used up")]
    Token,
    #[error(transparent)]
    Store(#[from] kith_store::Error),
}

impl Users {
    /// The user ID that somebody who asks for this name gets. Capital letters become small ones.
    /// [Spec](https://spec.matrix.org/latest/appendices/#user-identifiers)
    pub async fn free_user_id(&self, username: &str) -> Result<OwnedUserId, RegistrationError> {
        let user_id = self.user_id(username)?;
        if self.get(&user_id).await?.is_some() {
            return Err(UsernameError::InUse.into());
        }
        Ok(user_id)
    }

    fn user_id(&self, username: &str) -> Result<OwnedUserId, UsernameError> {
        let localpart = username.to_ascii_lowercase();
        let allowed =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._=-/+".contains(c);
        if localpart.is_empty() || localpart.starts_with('_') || !localpart.chars().all(allowed) {
            return Err(UsernameError::Invalid);
        }
        let server_name = self.team().server_name();
        if localpart.len() + server_name.as_str().len() + 2 > USER_ID {
            return Err(UsernameError::TooLong);
        }
        UserId::parse(format!("@{localpart}:{server_name}")).map_err(|_| UsernameError::Invalid)
    }

    /// Makes the account. Two who ask for one name at once cannot both get it, nor can a token be
    /// used more often than it may.
    pub async fn register(&self, account: NewAccount) -> Result<OwnedUserId, RegistrationError> {
        let password_hash = match account.password {
            Some(password) => Some(self.passwords().hash(password).await),
            None => None,
        };
        let user = UserRow {
            created: MilliSecondsSinceUnixEpoch::now(),
            password_hash,
            guest: account.guest,
            admin: account.admin,
            deactivated: false,
            erased: false,
            locked: false,
            suspended: false,
        };
        let user = Json(user);
        loop {
            let user_id = match &account.user_id {
                Some(user_id) => user_id.clone(),
                None => self.user_id(&random_string(12))?,
            };
            let mut batch = Batch::new();
            batch.expect(&tables::USERS, &user_id, None);
            batch.put(&tables::USERS, &user_id, &user);
            if !account.guest {
                // As elsewhere people are called by the name that they chose until they choose another.
                let chosen = account.user_id.as_ref().map(|user_id| user_id.localpart());
                profiles::begin(&mut batch, &user_id, chosen);
            }
            if let Some(token) = &account.registration_token {
                self.count_use(&mut batch, token).await?;
            }
            match self.store().commit(batch).await {
                Ok(_) => return Ok(user_id),
                Err(kith_store::Error::Conflict) => {
                    if account.user_id.is_some() && self.get(&user_id).await?.is_some() {
                        return Err(UsernameError::InUse.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Makes a user of a guest, with what `account` says but the name.
    pub async fn upgrade(
        &self,
        guest: &OwnedUserId,
        account: NewAccount,
    ) -> Result<(), RegistrationError> {
        let password_hash = match account.password {
            Some(password) => Some(self.passwords().hash(password).await),
            None => None,
        };
        let _guard = self.lock(guest).await;
        loop {
            let Some(mut user) = self.get(guest).await?.filter(|user| user.guest) else {
                return Err(UsernameError::InUse.into());
            };
            user.guest = false;
            user.password_hash.clone_from(&password_hash);
            let mut batch = Batch::new();
            batch.put(&tables::USERS, guest, &Json(user));
            profiles::begin(&mut batch, guest, None);
            if let Some(token) = &account.registration_token {
                self.count_use(&mut batch, token).await?;
            }
            match self.store().commit(batch).await {
                Ok(_) => return Ok(()),
                // Somebody else used the token at the same moment.
                Err(kith_store::Error::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether an account could be made with this token now.
    pub async fn is_valid_token(&self, token: &str) -> Result<bool, kith_store::Error> {
        let Some(known) = self.configured(token) else { return Ok(false) };
        let uses = self.store().get(&tables::REGISTRATION_TOKEN_USES, &token.to_owned()).await?;
        Ok(known.uses_allowed.is_none_or(|allowed| uses.unwrap_or(0) < allowed))
    }

    async fn count_use(&self, batch: &mut Batch, token: &str) -> Result<(), RegistrationError> {
        let known = self.configured(token).ok_or(RegistrationError::Token)?;
        let key = token.to_owned();
        let uses = self.store().get(&tables::REGISTRATION_TOKEN_USES, &key).await?;
        if known.uses_allowed.is_some_and(|allowed| uses.unwrap_or(0) >= allowed) {
            return Err(RegistrationError::Token);
        }
        batch.expect(&tables::REGISTRATION_TOKEN_USES, &key, uses.as_ref());
        batch.put(&tables::REGISTRATION_TOKEN_USES, &key, &(uses.unwrap_or(0) + 1));
        Ok(())
    }

    /// The token as configured, unless it has expired.
    fn configured(&self, token: &str) -> Option<&RegistrationToken> {
        let now: u64 = MilliSecondsSinceUnixEpoch::now().get().into();
        let mut found = None;
        // All are compared, and in constant time: the answer's delay tells nothing of them.
        for known in &self.team().config().registration.tokens {
            if known.token.expose().as_bytes().ct_eq(token.as_bytes()).into() {
                found = Some(known);
            }
        }
        found.filter(|known| known.expires.is_none_or(|expires| now < expires))
    }
}
