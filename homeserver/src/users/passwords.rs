//! Argon2id, away from the threads that answer requests and only a few at a time.

use std::sync::Arc;

use argon2::{
    Algorithm, Argon2, Params, PasswordHash, PasswordHasher, PasswordVerifier, Version,
    password_hash::{Output, SaltString},
};
use tokio::sync::Semaphore;

use crate::config;

/// How a password becomes what is stored. Cheap to clone.
#[derive(Clone)]
pub(super) struct Passwords(Arc<Inner>);

struct Inner {
    argon2: Argon2<'static>,
    /// A hash that no password has, of the same cost as a real one.
    nobodys: String,
    /// Each hash takes a core and some memory.
    turns: Semaphore,
}

impl Passwords {
    pub(super) fn new(cost: &config::PasswordHash) -> Self {
        let params = Params::new(cost.memory, cost.iterations, cost.parallelism, None)
            .expect("the configuration was validated");
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Inner {
            nobodys: nobodys(&params),
            argon2: Argon2::new(Algorithm::Argon2id, Version::V0x13, params),
            turns: Semaphore::new(cores),
        }))
    }

    /// The password's hash in PHC form, with a salt of its own.
    pub(super) async fn hash(&self, password: String) -> String {
        self.run(move |inner| {
            let salt = salt();
            let hash = inner.argon2.hash_password(password.as_bytes(), &salt);
            hash.expect("Argon2 takes any password of less than 4 GiB").to_string()
        })
        .await
    }

    /// Whether the password is the one of this hash. Without a hash, or with one that cannot be
    /// read, it takes as long and says no.
    pub(super) async fn verify(&self, password: String, hash: Option<String>) -> bool {
        self.run(move |inner| {
            let stored = hash.as_deref().and_then(|hash| PasswordHash::new(hash).ok());
            let known = stored.is_some();
            let nobodys = || PasswordHash::new(&inner.nobodys).expect("it is built as a hash");
            let stored = stored.unwrap_or_else(nobodys);
            // The cost is the stored hash's own; the comparison takes constant time.
            let same = inner.argon2.verify_password(password.as_bytes(), &stored).is_ok();
            same && known
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> T {
        let _turn = self.0.turns.acquire().await.expect("the semaphore is never closed");
        let inner = Arc::clone(&self.0);
        let task = tokio::task::spawn_blocking(move || work(&inner));
        task.await.expect("hashing does not panic and is not aborted")
    }
}

fn salt() -> SaltString {
    SaltString::encode_b64(&rand::random::<[u8; 16]>()).expect("16 bytes are a valid salt")
}

fn nobodys(params: &Params) -> String {
    let output = Output::new(&rand::random::<[u8; 32]>()).expect("32 bytes are a valid output");
    let salt = salt();
    let hash = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: params.try_into().expect("Argon2's parameters have a PHC form"),
        salt: Some(salt.as_salt()),
        hash: Some(output),
    };
    hash.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cheap() -> Passwords {
        Passwords::new(&config::PasswordHash { memory: 8, iterations: 1, parallelism: 1 })
    }

    #[tokio::test]
    async fn only_the_password_fits_its_hash() {
        let passwords = cheap();
        let hash = passwords.hash("correct horse".to_owned()).await;
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        assert!(passwords.verify("correct horse".to_owned(), Some(hash.clone())).await);
        assert!(!passwords.verify("battery staple".to_owned(), Some(hash)).await);
    }

    #[tokio::test]
    async fn an_absent_or_broken_hash_fits_nothing() {
        let passwords = cheap();
        assert!(!passwords.verify(String::new(), None).await);
        assert!(!passwords.verify("x".to_owned(), Some("not a hash".to_owned())).await);
    }

    #[tokio::test]
    async fn nobodys_hash_costs_what_a_real_one_costs() {
        let passwords = cheap();
        let real = passwords.hash("x".to_owned()).await;
        let cost = |hash: &str| hash.split('$').take(4).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(cost(&passwords.0.nobodys), cost(&real));
    }

    #[tokio::test]
    async fn a_hash_keeps_its_own_cost_when_the_setting_changes() {
        let hash = cheap().hash("x".to_owned()).await;
        let dearer =
            Passwords::new(&config::PasswordHash { memory: 16, iterations: 2, parallelism: 1 });
        assert!(dearer.verify("x".to_owned(), Some(hash)).await);
    }
}
