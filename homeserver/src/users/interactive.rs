//! Which stages of a user-interactive authentication are done? Kept in memory only: a session that
//! is lost costs a client one more round. Of what a client sends, nothing is kept here but which
//! stages it passed and which registration token it named.
//! [Spec](https://spec.matrix.org/latest/client-server-api/#user-interactive-authentication-api)

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use ruma::{UserId, api::client::uiaa::AuthType};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::random::random_string;

/// How long a session may take from its beginning.
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// How many sessions there may be; the oldest goes first.
const SESSIONS: usize = 10_000;

/// The sessions of one team. Cheap to clone.
#[derive(Clone)]
pub struct Interactive(Arc<Inner>);

struct Inner {
    /// So that nobody can try out, from a memory dump, what a fingerprint was made of.
    key: [u8; 32],
    sessions: Mutex<Sessions>,
}

#[derive(Default)]
struct Sessions {
    by_id: HashMap<String, Session>,
    /// Oldest first; may name sessions that are gone.
    order: VecDeque<(Instant, String)>,
}

struct Session {
    operation: Operation,
    completed: Vec<AuthType>,
    registration_token: Option<String>,
}

/// What is to be done once the user has proved who they are: the endpoint, the user, and what the
/// endpoint is to change. A session is good for one operation only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation([u8; 32]);

/// There is no such session, it is too old, or it was begun for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown or expired session, or one for another request")]
pub struct UnknownInteraction;

impl Default for Interactive {
    fn default() -> Self {
        Self(Arc::new(Inner { key: rand::random(), sessions: Mutex::default() }))
    }
}

impl Interactive {
    /// The name of an operation: `details` is everything of the request that decides what it does.
    pub fn operation(
        &self,
        endpoint: &str,
        user: Option<&UserId>,
        details: &impl Serialize,
    ) -> Operation {
        let text = serde_json::to_vec(&(endpoint, user, details)).expect("requests are JSON");
        Operation(Sha256::new().chain_update(self.0.key).chain_update(text).finalize().into())
    }

    /// A new session in which nothing is done yet.
    pub fn begin(&self, operation: Operation) -> String {
        self.begin_at(operation, Instant::now())
    }

    /// Notes a stage that was passed. Answers what is done so far.
    pub fn pass(
        &self,
        session: &str,
        operation: Operation,
        stage: AuthType,
        registration_token: Option<String>,
    ) -> Result<Vec<AuthType>, UnknownInteraction> {
        let mut sessions = self.0.sessions.lock();
        sessions.forget_old(Instant::now());
        let session = sessions.get(session, operation)?;
        if !session.completed.contains(&stage) {
            session.completed.push(stage);
        }
        if registration_token.is_some() {
            session.registration_token = registration_token;
        }
        Ok(session.completed.clone())
    }

    /// What is done so far.
    pub fn completed(
        &self,
        session: &str,
        operation: Operation,
    ) -> Result<Vec<AuthType>, UnknownInteraction> {
        let mut sessions = self.0.sessions.lock();
        sessions.forget_old(Instant::now());
        Ok(sessions.get(session, operation)?.completed.clone())
    }

    /// Ends a session that has done its work. Answers the registration token that was named in it.
    pub fn finish(&self, session: &str) -> Option<String> {
        self.0.sessions.lock().by_id.remove(session)?.registration_token
    }

    fn begin_at(&self, operation: Operation, now: Instant) -> String {
        let id = random_string(24);
        let mut sessions = self.0.sessions.lock();
        sessions.forget_old(now);
        let session = Session { operation, completed: Vec::new(), registration_token: None };
        sessions.by_id.insert(id.clone(), session);
        sessions.order.push_back((now, id.clone()));
        id
    }
}

impl Sessions {
    fn get(&mut self, id: &str, operation: Operation) -> Result<&mut Session, UnknownInteraction> {
        let session = self.by_id.get_mut(id).ok_or(UnknownInteraction)?;
        if session.operation == operation { Ok(session) } else { Err(UnknownInteraction) }
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((begun, _)) = self.order.front()
            && (now.duration_since(*begun) >= LIFETIME || self.order.len() >= SESSIONS)
        {
            if let Some((_, id)) = self.order.pop_front() {
                self.by_id.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_good_for_one_operation() {
        let interactive = Interactive::default();
        let alice = ruma::user_id!("@alice:kith");
        let delete_a = interactive.operation("delete_device", Some(alice), &"A");
        let delete_b = interactive.operation("delete_device", Some(alice), &"B");
        let session = interactive.begin(delete_a);
        assert_eq!(interactive.completed(&session, delete_b), Err(UnknownInteraction));
        let passed = interactive.pass(&session, delete_a, AuthType::Dummy, None);
        assert_eq!(passed, Ok(vec![AuthType::Dummy]));
        assert_eq!(interactive.finish(&session), None);
        assert_eq!(interactive.completed(&session, delete_a), Err(UnknownInteraction));
    }

    #[test]
    fn sessions_expire() {
        let interactive = Interactive::default();
        let operation = interactive.operation("register", None, &());
        let Some(long_ago) = Instant::now().checked_sub(LIFETIME) else { return };
        let session = interactive.begin_at(operation, long_ago);
        assert_eq!(interactive.completed(&session, operation), Err(UnknownInteraction));
    }

    #[test]
    fn the_oldest_of_too_many_is_forgotten() {
        let interactive = Interactive::default();
        let operation = interactive.operation("register", None, &());
        let first = interactive.begin(operation);
        for _ in 0..SESSIONS {
            interactive.begin(operation);
        }
        assert_eq!(interactive.completed(&first, operation), Err(UnknownInteraction));
        assert!(interactive.0.sessions.lock().by_id.len() <= SESSIONS);
    }
}
