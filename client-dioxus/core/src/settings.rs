//! What somebody says of themselves, their password, their devices.

use matrix_sdk::{
    HttpError,
    ruma::{
        DeviceId, OwnedDeviceId,
        api::client::uiaa::{AuthData, MatrixUserIdentifier, Password, UserIdentifier},
    },
};

use crate::{
    Account, Error, ErrorKind, Person,
    timeout::{LONG, TRANSFER, USUAL, within},
};

/// Bytes of an avatar.
pub const MAX_AVATAR: usize = 10 * 1024 * 1024;

/// One device that the account is signed in on.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceRow {
    pub id: String,
    pub name: Option<String>,
    /// Milliseconds since the epoch.
    pub last_seen: Option<u64>,
    pub last_address: Option<String>,
    /// It is this one.
    pub current: bool,
    /// The user has verified it. `None`: it has no encryption.
    pub verified: Option<bool>,
}

impl Account {
    /// Name and avatar, as the server has them.
    pub async fn profile(&self) -> Result<Person, Error> {
        let id = self.client().user_id().expect("an account is signed in").to_owned();
        self.profile_of(&id).await
    }

    /// An empty name removes it.
    pub async fn set_display_name(&self, name: &str) -> Result<(), Error> {
        let name = Some(name.trim()).filter(|name| !name.is_empty());
        within(USUAL, self.client().account().set_display_name(name)).await
    }

    /// `mime` is `image/png` and the like.
    ///
    /// Errors: [`ErrorKind::TooLarge`] above [`MAX_AVATAR`], network.
    pub async fn set_avatar(&self, mime: &str, bytes: Vec<u8>) -> Result<(), Error> {
        if bytes.len() > MAX_AVATAR {
            return Err(ErrorKind::TooLarge.into());
        }
        let mime = mime.parse().map_err(Error::other)?;
        within(TRANSFER, self.client().account().upload_avatar(&mime, bytes)).await.map(drop)
    }

    pub async fn remove_avatar(&self) -> Result<(), Error> {
        within(USUAL, self.client().account().set_avatar_url(None)).await
    }

    /// Errors: [`ErrorKind::WrongPassword`], [`ErrorKind::WeakPassword`], network.
    pub async fn change_password(&self, old: &str, new: &str) -> Result<(), Error> {
        let account = self.client().account();
        self.with_password(old, async |auth| match account.change_password(new, auth).await {
            Err(matrix_sdk::Error::Http(error)) => Err(*error),
            Ok(_) => Ok(Ok(())),
            Err(error) => Ok(Err(error.into())),
        })
        .await?
    }

    /// The account's devices, this one first, then by when they were seen last.
    pub async fn devices(&self) -> Result<Vec<DeviceRow>, Error> {
        let known = within(USUAL, self.client().devices()).await?.devices;
        let user = self.client().user_id().expect("an account is signed in");
        let encryption = self.client().encryption();
        let keys = within(USUAL, encryption.get_user_devices(user)).await?;
        let mut rows: Vec<DeviceRow> = known
            .into_iter()
            .map(|device| DeviceRow {
                current: device.device_id.as_str() == self.device_id(),
                verified: keys.get(&device.device_id).map(|it| it.is_verified_with_cross_signing()),
                id: device.device_id.to_string(),
                name: device.display_name,
                last_seen: device.last_seen_ts.map(|time| time.get().into()),
                last_address: device.last_seen_ip,
            })
            .collect();
        rows.sort_by_key(|row| (!row.current, std::cmp::Reverse(row.last_seen)));
        Ok(rows)
    }

    pub async fn rename_device(&self, device_id: &str, name: &str) -> Result<(), Error> {
        let id: &DeviceId = device_id.into();
        within(USUAL, self.client().rename_device(id, name)).await.map(drop)
    }

    /// Signs other devices out.
    ///
    /// Errors: [`ErrorKind::WrongPassword`], network.
    pub async fn sign_out_devices(&self, ids: &[String], password: &str) -> Result<(), Error> {
        let ids: Vec<OwnedDeviceId> = ids.iter().map(|id| id.as_str().into()).collect();
        let client = self.client();
        self.with_password(password, async |auth| client.delete_devices(&ids, auth).await)
            .await
            .map(drop)
    }

    /// User-interactive authentication with the password: the first request learns the session.
    async fn with_password<T>(
        &self,
        password: &str,
        request: impl AsyncFn(Option<AuthData>) -> Result<T, HttpError>,
    ) -> Result<T, Error> {
        let first = within(LONG, async { Ok::<_, Error>(request(None).await) }).await?;
        let wanted = match first {
            Ok(done) => return Ok(done),
            Err(error) => match error.as_uiaa_response() {
                Some(wanted) => wanted.session.clone(),
                None => return Err(error.into()),
            },
        };
        let auth = self.password(password, wanted);
        let second = within(LONG, async { Ok::<_, Error>(request(Some(auth)).await) }).await?;
        second.map_err(|error| match error.as_uiaa_response() {
            Some(_) => ErrorKind::WrongPassword.into(),
            None => Error::from(error).where_forbidden_means(ErrorKind::WrongPassword),
        })
    }

    pub(crate) fn password(&self, password: &str, session: Option<String>) -> AuthData {
        let user = MatrixUserIdentifier::new(self.user_id().to_owned());
        let mut auth = Password::new(UserIdentifier::Matrix(user), password.to_owned());
        auth.session = session;
        AuthData::Password(auth)
    }
}
