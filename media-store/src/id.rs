//! What are chunks and files called?

use std::{fmt, str::FromStr};

use kith_store::Key;
use ruma::{MxcUri, OwnedMxcUri, OwnedServerName};

/// Bytes of a file by what they are: BLAKE3 of the plaintext, keyed by the team, so that an id tells
/// nothing to whoever does not have the key. Displayed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChunkId(pub [u8; 32]);

impl fmt::Display for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ChunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkId({self})")
    }
}

/// Why a text is not the id that it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("a chunk id is 64 hexadecimal digits")]
    Chunk,
    /// Media ids are 1 to 255 of `A-Z a-z 0-9 _ -`, so that none can name another path.
    #[error("not a media id")]
    Media,
    #[error("not an mxc:// URI")]
    Uri,
}

impl FromStr for ChunkId {
    type Err = InvalidId;

    fn from_str(hex: &str) -> Result<Self, InvalidId> {
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(InvalidId::Chunk);
        }
        let mut id = [0; 32];
        for (byte, [high, low]) in id.iter_mut().zip(pairs) {
            *byte = (digit(*high)? << 4) | digit(*low)?;
        }
        Ok(Self(id))
    }
}

/// Lower case only: a chunk has one name.
fn digit(character: u8) -> Result<u8, InvalidId> {
    match character {
        b'0'..=b'9' => Ok(character - b'0'),
        b'a'..=b'f' => Ok(character - b'a' + 10),
        _ => Err(InvalidId::Chunk),
    }
}

impl Key for ChunkId {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Key::decode(bytes).map(Self)
    }
}

/// The name of a file: the server that has it and its id there. As a key it is the tuple of the two.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mxc {
    pub server: OwnedServerName,
    id: String,
}

impl Mxc {
    pub fn new(server: OwnedServerName, id: impl Into<String>) -> Result<Self, InvalidId> {
        let id = id.into();
        let allowed = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
        if id.is_empty() || id.len() > 255 || !id.bytes().all(allowed) {
            return Err(InvalidId::Media);
        }
        Ok(Self { server, id })
    }

    /// The media id: 1 to 255 of `A-Z a-z 0-9 _ -`.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn uri(&self) -> OwnedMxcUri {
        self.to_string().into()
    }

    /// For tables whose key is the server name and the media id.
    pub fn key(&self) -> (OwnedServerName, String) {
        (self.server.clone(), self.id.clone())
    }
}

impl fmt::Display for Mxc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mxc://{}/{}", self.server, self.id)
    }
}

impl FromStr for Mxc {
    type Err = InvalidId;

    fn from_str(uri: &str) -> Result<Self, InvalidId> {
        Self::try_from(<&MxcUri>::from(uri))
    }
}

impl TryFrom<&MxcUri> for Mxc {
    type Error = InvalidId;

    fn try_from(uri: &MxcUri) -> Result<Self, InvalidId> {
        let (server, id) = uri.parts().map_err(|_| InvalidId::Uri)?;
        Self::new(server.to_owned(), id)
    }
}

impl Key for Mxc {
    fn encode(&self, out: &mut Vec<u8>) {
        self.server.encode(out);
        self.id.encode(out);
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Self::new(Key::decode(bytes)?, String::decode(bytes)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_id_is_read_as_it_is_written() {
        let id = ChunkId(std::array::from_fn(|n| n as u8 * 8 + 7));
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in ["", "ab", &id.to_string().to_uppercase(), &format!("{id}0"), &"é".repeat(32)]
        {
            assert_eq!(wrong.parse::<ChunkId>(), Err(InvalidId::Chunk), "{wrong}");
        }
    }

    #[test]
    fn no_media_id_names_another_path() {
        let mxc: Mxc = "mxc://example.org:8448/abc-DEF_1".parse().expect("a file's name");
        assert_eq!((mxc.server.as_str(), mxc.id()), ("example.org:8448", "abc-DEF_1"));
        assert_eq!(mxc.to_string().parse(), Ok(mxc));
        let long = "x".repeat(256);
        for id in ["", ".", "..", "../a", "a/b", "a\\b", "a\0", "a.json", "%2e%2e", "ä", &long] {
            assert!(format!("mxc://example.org/{id}").parse::<Mxc>().is_err(), "{id:?}");
        }
        for uri in ["", "mxc://", "mxc://a", "https://example.org/a", "mxc:///a", "mxc://a b/c"] {
            assert!(uri.parse::<Mxc>().is_err(), "{uri:?}");
        }
    }

    #[test]
    fn ids_are_keys_of_tables() {
        let mxc: Mxc = "mxc://example.org/abc".parse().expect("a file's name");
        let mut bytes = Vec::new();
        mxc.encode(&mut bytes);
        let mut tuple = Vec::new();
        mxc.key().encode(&mut tuple);
        assert_eq!(bytes, tuple);
        assert_eq!(Mxc::decode(&mut bytes.as_slice()), Some(mxc));
    }
}
