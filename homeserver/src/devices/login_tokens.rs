//! Tokens with which a signed-in user lets another client of theirs in (`m.login.token`).

use std::time::Duration;

use kith_store::{
    Batch, Json, Scan,
    tables::{self, TokenRow},
};
use ruma::{MilliSecondsSinceUnixEpoch, OwnedUserId, UserId};

use super::{
    AuthenticationError, Sessions,
    sessions::{after, hash},
};
use crate::random::random_string;

pub const LOGIN_TOKEN_LIFETIME: Duration = Duration::from_secs(120);
/// How many expired tokens one new token cleans up at most.
const CLEANED: usize = 100;

impl Sessions {
    /// A token that is good for one login within [`LOGIN_TOKEN_LIFETIME`].
    pub async fn create_login_token(&self, user_id: &UserId) -> Result<String, kith_store::Error> {
        let token = random_string(40);
        let expires = Some(after(LOGIN_TOKEN_LIFETIME));
        let row = TokenRow { user_id: user_id.to_owned(), device_id: None, expires };
        let mut batch = Batch::new();
        for (key, Json(row)) in
            self.store().scan(&tables::LOGIN_TOKENS, Scan::all().limit(CLEANED)).await?
        {
            if is_expired(&row) {
                batch.delete(&tables::LOGIN_TOKENS, &key);
            }
        }
        batch.put(&tables::LOGIN_TOKENS, &hash(&token), &Json(row));
        self.store().commit(batch).await?;
        Ok(token)
    }

    /// Whose login token is this? It is used up by asking.
    pub async fn use_login_token(&self, token: &str) -> Result<OwnedUserId, AuthenticationError> {
        let unknown = || AuthenticationError::UnknownToken { soft_logout: false };
        let key = hash(token);
        let row = self.store().get(&tables::LOGIN_TOKENS, &key).await?.ok_or_else(unknown)?;
        let mut batch = Batch::new();
        batch.expect(&tables::LOGIN_TOKENS, &key, Some(&row));
        batch.delete(&tables::LOGIN_TOKENS, &key);
        match self.store().commit(batch).await {
            Ok(_) if is_expired(&row.0) => Err(unknown()),
            Ok(_) => Ok(row.0.user_id),
            // Somebody else was faster.
            Err(kith_store::Error::Conflict) => Err(unknown()),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_expired(row: &TokenRow) -> bool {
    row.expires.is_none_or(|expires| expires <= MilliSecondsSinceUnixEpoch::now())
}
