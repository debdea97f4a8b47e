//! Is what is said here safe, and will it be there tomorrow? This device's verification, the backup of
//! its keys, and the recovery key.

use std::pin::pin;

use async_stream::stream;
use futures_util::StreamExt;
use matrix_sdk::{
    encryption::{
        CrossSigningResetAuthType, VerificationState as SdkVerification, backups::BackupState,
        recovery::RecoveryState,
    },
    ruma::{UserId, api::client::uiaa::UiaaInfo, events::GlobalAccountDataEventType, serde::Raw},
};

use crate::{
    Account, Error, ErrorKind, Stream,
    timeout::{LONG, USUAL, within},
};

mod verification;

pub use verification::{CancelReason, Emoji, Peer, Verification, VerificationState};

/// How things stand with this account's encryption on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncryptionState {
    /// Is this device known to be the user's own? `None`: not known yet. If not, others are warned of
    /// it, and old messages stay closed: verify it with another device, or use the recovery key.
    pub verified: Option<bool>,
    pub recovery: Recovery,
    /// Keys are being backed up on the server.
    pub backup: bool,
}

/// Tries to upload a new identity.
const MAX_UPLOADS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// Not known yet.
    Unknown,
    Enabled,
    /// There is no recovery key: suggest [`Account::set_up_recovery`].
    Disabled,
    /// It is set up, but this device has not everything: ask for the recovery key or to verify.
    Incomplete,
}

impl Account {
    /// The state now, and each time it changes.
    pub fn encryption(&self) -> Stream<EncryptionState> {
        let encryption = self.client().encryption();
        stream! {
            let mut verification = encryption.verification_state();
            let mut recovery = std::pin::pin!(encryption.recovery().state_stream());
            let mut backup = std::pin::pin!(encryption.backups().state_stream());
            let mut shown = None;
            loop {
                let now = EncryptionState {
                    verified: match verification.get() {
                        SdkVerification::Unknown => None,
                        SdkVerification::Verified => Some(true),
                        SdkVerification::Unverified => Some(false),
                    },
                    recovery: match encryption.recovery().state() {
                        RecoveryState::Unknown => Recovery::Unknown,
                        RecoveryState::Enabled => Recovery::Enabled,
                        RecoveryState::Disabled => Recovery::Disabled,
                        RecoveryState::Incomplete => Recovery::Incomplete,
                    },
                    backup: matches!(
                        encryption.backups().state(),
                        BackupState::Enabled | BackupState::Downloading | BackupState::Resuming
                    ),
                };
                if shown != Some(now) {
                    shown = Some(now);
                    yield now;
                }
                let more = tokio::select! {
                    it = verification.next() => it.is_some(),
                    it = recovery.next() => it.is_some(),
                    it = backup.next() => it.is_some(),
                };
                if !more {
                    return;
                }
            }
        }
        .boxed_local()
    }

    /// Sets up recovery, or a new recovery key instead of the old one. The key is returned this once and
    /// is kept nowhere: show it, and have it written down.
    ///
    /// Errors: [`ErrorKind::NoRecovery`] if another device has set it up and this one knows nothing of it
    /// ([`Recovery::Incomplete`]); network.
    pub async fn set_up_recovery(&self) -> Result<String, Error> {
        let encryption = self.client().encryption();
        let recovery = encryption.recovery();
        within(LONG, async {
            encryption.wait_for_e2ee_initialization_tasks().await;
            match recovery.state() {
                RecoveryState::Incomplete => Err(Error::Kind(ErrorKind::NoRecovery)),
                RecoveryState::Enabled => Ok(recovery.reset_key().await?),
                _ => Ok(recovery.enable().await?),
            }
        })
        .await
    }

    /// Gets everything back with the recovery key: this device is verified then, and reads old messages.
    ///
    /// Errors: [`ErrorKind::WrongRecoveryKey`], [`ErrorKind::NoRecovery`], network.
    pub async fn recover(&self, key: &str) -> Result<(), Error> {
        let recovery = self.client().encryption().recovery();
        within(LONG, recovery.recover(key.trim())).await
    }

    /// The last way out, if the recovery key and all other devices are lost: a new identity. Others are
    /// told; old messages that only the old one could read stay closed. The password proves that it is
    /// the user.
    ///
    /// Errors: [`ErrorKind::WrongPassword`], [`ErrorKind::NotSupported`] where the server asks for more than
    /// the password, network.
    pub async fn reset_identity(&self, password: &str) -> Result<(), Error> {
        let encryption = self.client().encryption();
        within(LONG, async {
            encryption.wait_for_e2ee_initialization_tasks().await;
            // Not `recovery().reset_identity()`, which deletes the backup before the password has proved
            // anything, and then waits by tokio's clock, which a browser has not.
            if let Some(handle) = encryption.reset_cross_signing().await? {
                let CrossSigningResetAuthType::Uiaa(wanted) = handle.auth_type() else {
                    return Err(ErrorKind::NotSupported.into());
                };
                self.upload_identity(password, wanted.session.clone()).await?;
            }
            // What only the lost key opens is of no use: no recovery, and a backup that begins anew.
            encryption.backups().disable_and_delete().await?;
            let nothing = Raw::new(&serde_json::json!({}))?.cast_unchecked();
            let default = GlobalAccountDataEventType::SecretStorageDefaultKey;
            self.client().account().set_account_data_raw(default, nothing).await?;
            let recovery = encryption.recovery();
            recovery.enable_backup().await?;
            // The server says it once more, and only then can recovery be set up.
            let mut states = pin!(recovery.state_stream());
            while recovery.state() == RecoveryState::Incomplete && states.next().await.is_some() {}
            Ok::<_, Error>(())
        })
        .await
    }

    /// Uploads the identity that was just made.
    async fn upload_identity(
        &self,
        password: &str,
        mut session: Option<String>,
    ) -> Result<(), Error> {
        let encryption = self.client().encryption();
        for _ in 0..MAX_UPLOADS {
            let auth = self.password(password, session);
            let Err(error) = encryption.bootstrap_cross_signing(Some(auth)).await else {
                return Ok(());
            };
            session = match error.as_uiaa_response() {
                None => return Err(error.into()),
                Some(wanted) if is_refused(wanted) => return Err(ErrorKind::WrongPassword.into()),
                // Meanwhile the sync has brought the old identity, and the SDK has made yet another one.
                Some(wanted) => wanted.session.clone(),
            };
        }
        Err(ErrorKind::Timeout.into())
    }

    /// Is there another device of the user that could verify this one?
    pub async fn has_device_to_verify_with(&self) -> Result<bool, Error> {
        let encryption = self.client().encryption();
        within(USUAL, encryption.has_devices_to_verify_against()).await
    }

    /// Has the user verified this person? `None`: they have no encryption identity.
    pub async fn is_verified(&self, user_id: &str) -> Result<Option<bool>, Error> {
        let id = UserId::parse(user_id)?;
        let encryption = self.client().encryption();
        let identity = within(USUAL, async {
            Ok::<_, Error>(match encryption.get_user_identity(&id).await.map_err(Error::store)? {
                Some(identity) => Some(identity),
                None => encryption.request_user_identity(&id).await?,
            })
        });
        Ok(identity.await?.map(|identity| identity.is_verified()))
    }
}

/// The password was wrong.
fn is_refused(answer: &UiaaInfo) -> bool {
    answer.auth_error.as_ref().is_some_and(|error| error.kind.errcode().as_str() == "M_FORBIDDEN")
}
