//! Whose datagram is it? By its source address once that has proved to know the peer's ICE password,
//! else by the user name in its STUN request.

use std::{collections::HashMap, net::SocketAddr};

use str0m::ice::StunMessage;

use super::PeerKey;

/// A client has a few addresses at most: one for each of its networks.
const MAX_ADDRESSES: usize = 8;

/// Each ICE restart makes another user name; packets of the one before may still be on their way.
const MAX_UFRAGS: usize = 3;

#[derive(Default)]
pub(crate) struct Demux {
    addresses: HashMap<SocketAddr, PeerKey>,
    ufrags: HashMap<String, PeerKey>,
}

impl Demux {
    /// The peer that `datagram` claims to be for, and whether it is a STUN message.
    pub(crate) fn find(&self, source: SocketAddr, datagram: &[u8]) -> Option<(PeerKey, bool)> {
        let stun = datagram.first().is_some_and(|first| *first < 4);
        if !stun {
            return self.addresses.get(&source).map(|key| (*key, false));
        }
        let message = StunMessage::parse(datagram).ok()?;
        let key = match message.split_username() {
            Some((ufrag, _)) => self.ufrags.get(ufrag),
            None => self.addresses.get(&source),
        };
        key.map(|key| (*key, true))
    }

    /// The peer listens to this ICE user name fragment (also after an ICE restart).
    /// `known` are the peer's user names so far.
    pub(crate) fn listen(&mut self, key: PeerKey, ufrag: &str, known: &mut Vec<String>) {
        if known.iter().any(|known| known == ufrag) {
            return;
        }
        if known.len() >= MAX_UFRAGS {
            self.ufrags.remove(&known.remove(0));
        }
        known.push(ufrag.to_owned());
        self.ufrags.insert(ufrag.to_owned(), key);
    }

    /// `source` has proved to belong to the peer. `known` are the peer's addresses so far.
    pub(crate) fn learn(&mut self, key: PeerKey, source: SocketAddr, known: &mut Vec<SocketAddr>) {
        if known.contains(&source) {
            self.addresses.insert(source, key);
            return;
        }
        if known.len() >= MAX_ADDRESSES {
            let oldest = known.remove(0);
            if self.addresses.get(&oldest) == Some(&key) {
                self.addresses.remove(&oldest);
            }
        }
        known.push(source);
        self.addresses.insert(source, key);
    }

    pub(crate) fn forget(&mut self, key: PeerKey) {
        self.addresses.retain(|_, owner| *owner != key);
        self.ufrags.retain(|_, owner| *owner != key);
    }
}
