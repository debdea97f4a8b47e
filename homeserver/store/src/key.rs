//! How is a typed key written so that byte order is key order?
//!
//! Integers are big-endian; strings end with `00 00`, and a NUL inside is written `00 01`, so that
//! a shorter string sorts first and no key is the prefix of another by accident.

use ruma::{
    OwnedDeviceId, OwnedEventId, OwnedRoomAliasId, OwnedRoomId, OwnedServerName, OwnedUserId,
};

#[cfg(test)]
mod tests;

/// A value that can stand in a key. Encoding keeps the order of the type.
pub trait Key: Sized {
    fn encode(&self, out: &mut Vec<u8>);
    /// Takes this key's bytes off the front of `bytes`; `None` if they are not such a key.
    fn decode(bytes: &mut &[u8]) -> Option<Self>;
}

fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(n)?;
    *bytes = tail;
    Some(head)
}

macro_rules! integer_key {
    ($($int:ty),*) => {$(
        impl Key for $int {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_be_bytes());
            }
            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                take(bytes, size_of::<$int>())?.try_into().ok().map(<$int>::from_be_bytes)
            }
        }
    )*};
}
integer_key!(u8, u16, u32, u64);

/// Negative numbers sort before positive ones.
impl Key for i64 {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.cast_unsigned() ^ (1 << 63)).encode(out);
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Some((u64::decode(bytes)? ^ (1 << 63)).cast_signed())
    }
}

fn encode_str(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(1);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

fn decode_str(bytes: &mut &[u8]) -> Option<String> {
    let mut text = Vec::new();
    loop {
        match take(bytes, 1)?[0] {
            0 => match take(bytes, 1)?[0] {
                0 => return String::from_utf8(text).ok(),
                1 => text.push(0),
                _ => return None,
            },
            byte => text.push(byte),
        }
    }
}

impl Key for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_str(self, out);
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        decode_str(bytes)
    }
}

macro_rules! string_key {
    ($($id:ty),*) => {$(
        impl Key for $id {
            fn encode(&self, out: &mut Vec<u8>) {
                encode_str(self.as_str(), out);
            }
            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                decode_str(bytes)?.try_into().ok()
            }
        }
    )*};
}
string_key!(
    OwnedDeviceId,
    OwnedEventId,
    OwnedRoomAliasId,
    OwnedRoomId,
    OwnedServerName,
    OwnedUserId
);

impl Key for [u8; 32] {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes, 32)?.try_into().ok()
    }
}

impl Key for () {
    fn encode(&self, _: &mut Vec<u8>) {}
    fn decode(_: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

macro_rules! tuple_key {
    ($($name:ident)+) => {
        impl<$($name: Key),+> Key for ($($name,)+) {
            #[allow(non_snake_case, reason = "the type parameters name the fields")]
            fn encode(&self, out: &mut Vec<u8>) {
                let ($($name,)+) = self;
                $($name.encode(out);)+
            }
            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                Some(($($name::decode(bytes)?,)+))
            }
        }
    };
}
tuple_key!(A);
tuple_key!(A B);
tuple_key!(A B C);
tuple_key!(A B C D);
