//! Who may join which room, and what may they do there? JSON Web Tokens (HS256) as LiveKit's clients
//! carry them: the homeserver makes them, the relay checks them.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

/// Clocks of two machines may differ by this much.
const LEEWAY: Duration = Duration::from_secs(60);

/// More than any token that we make: identity, name and metadata have their own limits.
const MAX_LENGTH: usize = 16 * 1024;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    #[error("the token is no JSON Web Token")]
    Malformed,
    #[error("the token is signed by somebody else")]
    Signature,
    #[error("the token is of another time")]
    Expired,
    #[error("the token does not allow to join a room")]
    NoRoom,
}

/// What one participant may do in one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grants {
    /// The room's name, any text: MSC4195 hashes the Matrix room into it.
    pub room: String,
    /// Unique in the room: joining again with it ends the earlier session.
    pub identity: String,
    /// Shown to others; may be empty.
    pub name: String,
    /// Shown to others, opaque to the relay; may be empty.
    pub metadata: String,
    pub attributes: BTreeMap<String, String>,
    /// May the room come into being by this participant? Otherwise the room has to exist.
    pub can_create_room: bool,
    pub can_publish: bool,
    pub can_subscribe: bool,
    pub can_publish_data: bool,
    pub can_update_own_metadata: bool,
    /// Others do not learn of a hidden participant.
    pub hidden: bool,
    /// How long the token is good for.
    pub lifetime: Duration,
}

impl Grants {
    /// A full participant: publishes, subscribes, and opens the room. Good for an hour.
    pub fn participant(room: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            room: room.into(),
            identity: identity.into(),
            name: String::new(),
            metadata: String::new(),
            attributes: BTreeMap::new(),
            can_create_room: true,
            can_publish: true,
            can_subscribe: true,
            can_publish_data: true,
            can_update_own_metadata: true,
            hidden: false,
            lifetime: Duration::from_secs(3600),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    alg: String,
    typ: String,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    metadata: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    video: VideoGrant,
}

/// Absent permissions are given, as LiveKit reads them.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct VideoGrant {
    room: String,
    room_join: bool,
    room_create: bool,
    can_publish: Option<bool>,
    can_subscribe: Option<bool>,
    can_publish_data: Option<bool>,
    can_update_own_metadata: Option<bool>,
    hidden: bool,
}

/// A token for `grants` that is good from `now` on.
pub fn sign(api_key: &str, api_secret: &str, grants: &Grants, now: SystemTime) -> String {
    let issued = seconds(now);
    let claims = Claims {
        iss: api_key.to_owned(),
        sub: grants.identity.clone(),
        exp: issued.saturating_add(grants.lifetime.as_secs()),
        nbf: issued,
        name: grants.name.clone(),
        metadata: grants.metadata.clone(),
        attributes: grants.attributes.clone(),
        video: VideoGrant {
            room: grants.room.clone(),
            room_join: true,
            room_create: grants.can_create_room,
            can_publish: Some(grants.can_publish),
            can_subscribe: Some(grants.can_subscribe),
            can_publish_data: Some(grants.can_publish_data),
            can_update_own_metadata: Some(grants.can_update_own_metadata),
            hidden: grants.hidden,
        },
    };
    let header = Header { alg: "HS256".to_owned(), typ: "JWT".to_owned() };
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = BASE64.encode(mac(api_secret, &signed).finalize().into_bytes());
    format!("{signed}.{signature}")
}

/// What the bearer of `token` may do at `now`.
pub fn verify(
    api_key: &str,
    api_secret: &str,
    token: &str,
    now: SystemTime,
) -> Result<Grants, TokenError> {
    if token.len() > MAX_LENGTH {
        return Err(TokenError::Malformed);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
    let signature = BASE64.decode(signature).map_err(|_| TokenError::Malformed)?;
    // Nothing of the token is looked at before this.
    mac(api_secret, signed).verify_slice(&signature).map_err(|_| TokenError::Signature)?;
    let (header, claims) = signed.split_once('.').ok_or(TokenError::Malformed)?;
    let header: Header = decode(header)?;
    let claims: Claims = decode(claims)?;
    if header.alg != "HS256" || claims.iss != api_key {
        return Err(TokenError::Signature);
    }
    let now = seconds(now);
    let leeway = LEEWAY.as_secs();
    if claims.exp.saturating_add(leeway) < now || claims.nbf > now.saturating_add(leeway) {
        return Err(TokenError::Expired);
    }
    let video = claims.video;
    if !video.room_join || video.room.is_empty() || claims.sub.is_empty() {
        return Err(TokenError::NoRoom);
    }
    Ok(Grants {
        room: video.room,
        identity: claims.sub,
        name: claims.name,
        metadata: claims.metadata,
        attributes: claims.attributes,
        can_create_room: video.room_create,
        can_publish: video.can_publish.unwrap_or(true),
        can_subscribe: video.can_subscribe.unwrap_or(true),
        can_publish_data: video.can_publish_data.unwrap_or(true),
        can_update_own_metadata: video.can_update_own_metadata.unwrap_or(false),
        hidden: video.hidden,
        lifetime: Duration::from_secs(claims.exp.saturating_sub(now)),
    })
}

fn mac(secret: &str, signed: &str) -> Hmac<Sha256> {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(signed.as_bytes());
    mac
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn encode(part: &impl Serialize) -> String {
    BASE64.encode(serde_json::to_vec(part).expect("strings and numbers become JSON"))
}

fn decode<T: for<'a> Deserialize<'a>>(part: &str) -> Result<T, TokenError> {
    let json = BASE64.decode(part).map_err(|_| TokenError::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| TokenError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: SystemTime = UNIX_EPOCH;

    fn later(seconds: u64) -> SystemTime {
        NOW + Duration::from_secs(seconds)
    }

    #[test]
    fn what_was_granted_is_read_again() {
        let mut grants = Grants::participant("room", "@ann:a:DEVICE");
        grants.attributes.insert("a".to_owned(), "ü".to_owned());
        grants.can_publish = false;
        let token = sign("key", "secret", &grants, NOW);
        assert_eq!(verify("key", "secret", &token, NOW), Ok(grants));
    }

    #[test]
    fn another_secret_key_or_time_is_refused() {
        let token = sign("key", "secret", &Grants::participant("room", "ann"), later(10_000));
        let check = |key, secret, at| verify(key, secret, &token, later(at)).map(|_| ());
        assert_eq!(check("key", "other", 10_000), Err(TokenError::Signature));
        assert_eq!(check("other", "secret", 10_000), Err(TokenError::Signature));
        assert_eq!(check("key", "secret", 9_900), Err(TokenError::Expired));
        assert_eq!(check("key", "secret", 13_661), Err(TokenError::Expired));
        assert_eq!(check("key", "secret", 13_659), Ok(()));
    }

    /// LiveKit's own token makers leave out what is not set.
    #[test]
    fn a_token_without_permissions_gives_all_but_the_own_metadata() {
        let part = |json: &str| BASE64.encode(json);
        let signed = format!(
            "{}.{}",
            part(r#"{"alg":"HS256","typ":"JWT"}"#),
            part(
                r#"{"video":{"roomJoin":true,"room":"r"},"sub":"ann","iss":"key","nbf":0,"exp":9}"#
            )
        );
        let signature = BASE64.encode(mac("secret", &signed).finalize().into_bytes());
        let grants = verify("key", "secret", &format!("{signed}.{signature}"), NOW).unwrap();
        assert!(grants.can_publish && grants.can_subscribe && grants.can_publish_data);
        assert!(!grants.can_create_room && !grants.can_update_own_metadata && !grants.hidden);
    }

    #[test]
    fn an_unsigned_token_or_garbage_is_refused() {
        let none = format!("{}.{}.", BASE64.encode(r#"{"alg":"none"}"#), BASE64.encode("{}"));
        assert_eq!(verify("key", "secret", &none, NOW), Err(TokenError::Signature));
        for garbage in ["", ".", "..", "a.b.c", "ä.ö.ü", &"a".repeat(100_000)] {
            assert!(verify("key", "secret", garbage, NOW).is_err());
        }
    }
}
