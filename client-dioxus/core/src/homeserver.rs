//! Which server does somebody mean, and what does it allow?

use std::time::Duration;

use matrix_sdk::{
    Client, ClientBuilder,
    config::RequestConfig,
    ruma::api::client::{
        account::register,
        session::get_login_types::v3::LoginType,
        uiaa::{AuthType, UiaaInfo},
    },
    sliding_sync::VersionBuilder,
};
use url::{Host, Url};

use crate::{
    Error, ErrorKind,
    timeout::{USUAL, within},
};

/// A server that has answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Homeserver {
    /// What was typed, tidied: `team.example`.
    pub name: String,
    /// Where its client API is: `https://matrix.team.example/`.
    pub url: String,
    /// Can one sign in with a password?
    pub password: bool,
    /// Does it offer to sign in elsewhere (single sign-on)? Not in this client yet.
    pub sso: bool,
    pub registration: Registration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    Open,
    /// With a token that the server's people give out.
    WithToken,
    Closed,
    /// The server wants more than this client can show.
    Elsewhere,
}

impl Homeserver {
    /// Finds the server that `text` means: a URL, a server name (its well-known says where), or a user
    /// ID. Plain HTTP is tried for this machine only, unless the URL says `http://`.
    ///
    /// Errors: [`ErrorKind::NotAHomeserver`], [`ErrorKind::ServerTooOld`], [`ErrorKind::Offline`].
    pub async fn discover(text: &str) -> Result<Self, Error> {
        let mut error = Error::Kind(ErrorKind::NotAHomeserver);
        for candidate in candidates(text) {
            let found = within(USUAL, candidate.client().build()).await;
            match found {
                Ok(client) => return Self::ask(server_name(text), client).await,
                Err(found) => error = found,
            }
        }
        Err(error)
    }

    async fn ask(name: String, client: Client) -> Result<Self, Error> {
        let auth = client.matrix_auth();
        let flows = within(USUAL, auth.get_login_types()).await?.flows;
        let registration = registration(&client).await;
        Ok(Self {
            name,
            url: client.homeserver().to_string(),
            password: flows.iter().any(|flow| matches!(flow, LoginType::Password(_))),
            sso: flows.iter().any(|flow| matches!(flow, LoginType::Sso(_))),
            registration,
        })
    }

    /// A builder for a client of this server; the caller says where it keeps what it knows.
    pub(crate) fn client(url: &str) -> ClientBuilder {
        trusting(Client::builder(), url)
            .homeserver_url(url)
            .sliding_sync_version_builder(VersionBuilder::DiscoverNative)
    }
}

impl Candidate {
    fn client(&self) -> ClientBuilder {
        let quick = RequestConfig::new().timeout(Duration::from_secs(10)).disable_retry();
        let builder = match self {
            Self::Url(url) => trusting(Client::builder(), url).homeserver_url(url),
            Self::Name(name) => Client::builder().server_name_or_homeserver_url(name),
        };
        builder.request_config(quick).sliding_sync_version_builder(VersionBuilder::DiscoverNative)
    }
}

/// A machine without certificates still reaches a server without TLS.
fn trusting(builder: ClientBuilder, url: &str) -> ClientBuilder {
    #[cfg(not(target_family = "wasm"))]
    if url.starts_with("http://") {
        return builder.disable_built_in_root_certificates();
    }
    let _ = url;
    builder
}

/// Asks as if to register, but for no name: the server answers what it would want.
async fn registration(client: &Client) -> Registration {
    let request = within(USUAL, async {
        let answer = client.send(register::v3::Request::new()).await;
        Ok::<_, Error>(answer.err().and_then(|error| error.as_uiaa_response().cloned()))
    });
    match request.await {
        Ok(Some(wanted)) => registration_of(&wanted),
        _ => Registration::Closed,
    }
}

pub(crate) fn registration_of(wanted: &UiaaInfo) -> Registration {
    let allows = |stages: &[AuthType]| {
        wanted.flows.iter().any(|flow| flow.stages.iter().all(|stage| stages.contains(stage)))
    };
    if allows(&[AuthType::Dummy]) {
        Registration::Open
    } else if allows(&[AuthType::Dummy, AuthType::RegistrationToken]) {
        Registration::WithToken
    } else {
        Registration::Elsewhere
    }
}

/// What somebody may have meant.
#[derive(Debug, PartialEq)]
enum Candidate {
    /// The client API is there.
    Url(String),
    /// The well-known of this name says where it is.
    Name(String),
}

/// What `text` may mean, the likeliest first.
fn candidates(text: &str) -> Vec<Candidate> {
    use Candidate::{Name, Url};
    let text = text.trim().trim_end_matches('/');
    let name = server_name(text);
    if name.is_empty() {
        return Vec::new();
    }
    if text.starts_with("http://") || text.starts_with("https://") {
        return vec![Url(text.to_owned()), Name(text.to_owned())];
    }
    match is_local(&name) {
        true => vec![Url(format!("http://{name}")), Name(name)],
        false => vec![Name(name)],
    }
}

fn is_local(name: &str) -> bool {
    match Url::parse(&format!("http://{name}")).ok().as_ref().and_then(Url::host) {
        Some(Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// `team.example` of `@alice:team.example`, `https://team.example/` or `team.example`.
fn server_name(text: &str) -> String {
    let text = text.trim();
    let text = match text.strip_prefix('@') {
        Some(user) => user.split_once(':').map_or("", |(_, server)| server),
        None => text,
    };
    let text = text.trim_start_matches("https://").trim_start_matches("http://");
    text.trim_end_matches('/').to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Candidate {
        Candidate::Name(name.to_owned())
    }

    fn url(url: &str) -> Candidate {
        Candidate::Url(url.to_owned())
    }

    #[test]
    fn a_server_is_meant_by_its_name_by_a_url_or_by_a_user_of_it() {
        for text in ["team.example", " Team.Example/ ", "@alice:team.example"] {
            assert_eq!(candidates(text), [name("team.example")], "{text}");
        }
        let text = "https://team.example";
        assert_eq!(candidates("https://team.example/"), [url(text), name(text)]);
        assert_eq!(server_name("https://team.example/"), "team.example");
        assert!(candidates("").is_empty() && candidates("@alice").is_empty());
    }

    #[test]
    fn only_this_machine_is_asked_without_tls() {
        for text in ["localhost:8008", "127.0.0.1:8008", "[::1]:8008", "team.localhost"] {
            assert_eq!(candidates(text), [url(&format!("http://{text}")), name(text)]);
        }
        assert_eq!(candidates("localhost.example"), [name("localhost.example")]);
    }

    #[test]
    fn registration_is_open_to_whom_a_flow_can_be_shown() {
        let wanted = |flows: serde_json::Value| {
            let wanted = serde_json::json!({ "flows": flows, "params": {}, "session": "s" });
            registration_of(&serde_json::from_value(wanted).expect("a valid answer"))
        };
        use serde_json::json;
        assert_eq!(wanted(json!([{ "stages": ["m.login.dummy"] }])), Registration::Open);
        let token = json!([{ "stages": ["m.login.registration_token", "m.login.dummy"] }]);
        assert_eq!(wanted(token), Registration::WithToken);
        let captcha = json!([{ "stages": ["m.login.recaptcha"] }]);
        assert_eq!(wanted(captcha), Registration::Elsewhere);
    }
}
