//! The door of the relay.

use matrix_sdk::ruma::{
    RoomId,
    api::client::rtc::{RtcTransport, transports},
};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use crate::{Account, Error, ErrorKind};

/// An answer is a URL and a token.
const MAX_ANSWER: usize = 64 * 1024;

/// `POST {service}/sfu/get`
#[derive(Serialize)]
struct Ask<'a> {
    room: &'a str,
    openid_token: OpenId,
    device_id: &'a str,
}

#[derive(Serialize)]
struct OpenId {
    access_token: String,
    token_type: String,
    matrix_server_name: String,
    /// Seconds.
    expires_in: u64,
}

#[derive(Deserialize)]
pub(super) struct Answer {
    pub(super) url: String,
    pub(super) jwt: String,
}

/// The service that the user's own server offers.
pub(super) async fn own_service(account: &Account) -> Result<String, Error> {
    let client = account.client();
    let offered = match client.send(transports::v1::Request::new()).await {
        Ok(answer) => answer.rtc_transports,
        // Older servers tell it in their well-known only.
        Err(_) => client.rtc_foci().await?,
    };
    let service = offered.into_iter().find_map(|transport| match transport {
        RtcTransport::LiveKit(livekit) => Some(livekit.service_url),
        _ => None,
    });
    service.ok_or(ErrorKind::NotSupported.into())
}

/// A ticket, for proof of who the user is.
pub(super) async fn ticket(
    account: &Account,
    service: &str,
    room: &RoomId,
) -> Result<Answer, Error> {
    let url = address(service, &account.client().homeserver())?;
    let token = account.client().account().request_openid_token().await?;
    let ask = Ask {
        room: room.as_str(),
        openid_token: OpenId {
            access_token: token.access_token,
            token_type: token.token_type.to_string(),
            matrix_server_name: token.matrix_server_name.to_string(),
            expires_in: token.expires_in.as_secs(),
        },
        device_id: account.device_id(),
    };
    let request = account.client().http_client().post(url);
    let request = request.header("Content-Type", "application/json");
    let answer = request.body(serde_json::to_vec(&ask)?).send().await;
    let answer = answer.map_err(|error| Error::Unreachable(error.to_string()))?;
    let status = answer.status().as_u16();
    if answer.content_length().is_some_and(|length| length > MAX_ANSWER as u64) {
        return Err(ErrorKind::TooLarge.into());
    }
    let body = answer.bytes().await.map_err(|error| Error::Unreachable(error.to_string()))?;
    if status != 200 {
        let errcode = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
        let text = |key: &str| errcode[key].as_str().unwrap_or_default().to_owned();
        let (errcode, message) = (text("errcode"), text("error"));
        return Err(Error::Refused { status, errcode, message, retry_after: None });
    }
    Ok(serde_json::from_slice(&body)?)
}

/// Members name services, and a member may be anybody: only TLS, and nothing on this machine, unless the
/// user's own server is there too.
fn address(service: &str, homeserver: &Url) -> Result<Url, Error> {
    let url = Url::parse(service).map_err(|_| ErrorKind::InvalidAddress)?;
    let own = url.scheme() == homeserver.scheme() && url.host() == homeserver.host();
    let local = match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost" || domain.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback() || address.is_private(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => true,
    };
    if !own && (local || url.scheme() != "https") {
        return Err(ErrorKind::InvalidAddress.into());
    }
    let path = format!("{}/sfu/get", url.path().trim_end_matches('/'));
    let mut url = url;
    url.set_path(&path);
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sends_this_device_to_where_it_should_not_go() {
        let home = Url::parse("https://matrix.team.example/").expect("a URL");
        let of = |service: &str| address(service, &home).map(String::from).map_err(|it| it.kind());
        let good = "https://rtc.other.example/livekit/jwt";
        assert_eq!(of(good), Ok(format!("{good}/sfu/get")));
        for bad in ["http://rtc.other.example", "https://127.0.0.1/x", "https://localhost/", "x"] {
            assert_eq!(of(bad), Err(ErrorKind::InvalidAddress), "{bad}");
        }
        let home = Url::parse("http://127.0.0.1:8008/").expect("a URL");
        let own = address("http://127.0.0.1:8008/rtc/", &home).map(String::from);
        assert_eq!(own, Ok("http://127.0.0.1:8008/rtc/sfu/get".to_owned()));
    }
}
