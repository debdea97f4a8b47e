#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fmt::Debug;

use proptest::prelude::*;

use super::*;

fn encoded(key: &impl Key) -> Vec<u8> {
    let mut out = Vec::new();
    key.encode(&mut out);
    out
}

/// Byte order is key order, a key comes back as it went in, and what follows it is left alone.
fn holds<K: Key + Ord + Debug>(a: &K, b: &K) {
    let (bytes_a, bytes_b) = (encoded(a), encoded(b));
    assert_eq!(bytes_a.cmp(&bytes_b), a.cmp(b), "{a:?} and {b:?}");
    for (key, bytes) in [(a, &bytes_a), (b, &bytes_b)] {
        let followed = [bytes.as_slice(), b"rest"].concat();
        let mut left = followed.as_slice();
        assert_eq!(K::decode(&mut left).as_ref(), Some(key));
        assert_eq!(left, b"rest");
    }
    if a != b {
        assert!(!bytes_a.starts_with(&bytes_b), "{b:?} begins {a:?}");
    }
}

/// Strings in which NUL, its escape and the ends of UTF-8 are common, and which share beginnings.
fn text() -> impl Strategy<Value = String> {
    let character = prop_oneof![
        Just('\0'),
        Just('\u{1}'),
        Just('a'),
        Just('\u{7f}'),
        Just('\u{80}'),
        Just('\u{ffff}'),
        Just('\u{10ffff}'),
        any::<char>()
    ];
    prop::collection::vec(character, 0..6).prop_map(String::from_iter)
}

fn identifier(sigil: char) -> impl Strategy<Value = String> {
    "[a-c./=_-]{1,6}".prop_map(move |name| format!("{sigil}{name}:b.c"))
}

proptest! {
    #[test]
    fn numbers(a in any::<(u8, u16, u32, u64)>(), b in any::<(u8, u16, u32, u64)>()) {
        holds(&a, &b);
        holds(&a.0, &b.0);
        holds(&a.1, &b.1);
        holds(&a.2, &b.2);
        holds(&a.3, &b.3);
    }

    #[test]
    fn signed_numbers(a in any::<i64>(), b in any::<i64>(), small in -3..3_i64) {
        holds(&a, &b);
        holds(&a, &small);
        holds(&small, &(small + 1));
    }

    #[test]
    fn strings(a in text(), b in text()) {
        holds(&a, &b);
        holds(&(a.clone() + "\0"), &a);
    }

    #[test]
    fn arrays(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
        holds(&a, &b);
    }

    #[test]
    fn tuples(
        a in (text(), any::<i64>(), text(), any::<[u8; 32]>()),
        b in (text(), any::<i64>(), text(), any::<[u8; 32]>()),
        first in text(),
    ) {
        holds(&a, &b);
        // The same first field, so that the second decides.
        holds(&(first.clone(), a.0.clone()), &(first.clone(), b.0.clone()));
        holds(&(first.clone(), a.1, a.2.clone()), &(first.clone(), b.1, b.2.clone()));
        holds(&((first.clone(), a.2), a.1), &((first, b.2), b.1));
        holds(&(a.1,), &(b.1,));
    }

    #[test]
    fn identifiers(a in identifier('@'), b in identifier('@'), c in identifier('!')) {
        let user = |id: &str| OwnedUserId::try_from(id).unwrap();
        let room = OwnedRoomId::try_from(c).unwrap();
        holds(&user(&a), &user(&b));
        holds(&(user(&a), room.clone()), &(user(&b), room));
    }

    /// Bytes that are no key are refused without a panic.
    #[test]
    fn any_bytes_are_a_key_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        fn canonical<K: Key>(bytes: &[u8]) {
            let mut left = bytes;
            if let Some(key) = K::decode(&mut left) {
                assert_eq!(encoded(&key), bytes[..bytes.len() - left.len()]);
            }
        }
        canonical::<u64>(&bytes);
        canonical::<i64>(&bytes);
        canonical::<String>(&bytes);
        canonical::<OwnedUserId>(&bytes);
        canonical::<(String, u32, String)>(&bytes);
        canonical::<[u8; 32]>(&bytes);
    }
}

#[test]
fn nothing_is_a_key_too() {
    holds(&(), &());
}
