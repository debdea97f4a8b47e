//! Which public keys prove nothing, because everybody can sign with them?

use ruma::serde::{Base64, base64::Standard};

/// Keys whose private half is public: that of the first 32 bytes of Go's `math/rand` with seed 0, which
/// servers set up by early versions of ess-helm got (CVE-2026-24044), that of the specification's
/// examples, and that of 32 zeros.
const PUBLISHED: [&str; 3] = [
    "l/O9hxMVKB6Lg+3Hqf0FQQZhVESQcMzbPN1Cz2nM3og",
    "XGX0JRS2Af3be3knz2fBiRbApjm2Dh61gXDJA8kcJNI",
    "O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik",
];

/// The y coordinates of the points of small order, as signatures by which anything can be signed.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    number(0x01, 0x00, 0x00),
    number(0xec, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

const fn number(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Whether an Ed25519 public key may stand for its server.
pub(crate) fn is_usable(key: &[u8]) -> bool {
    let Ok(mut point) = <[u8; 32]>::try_from(key) else { return false };
    let encoded = Base64::<Standard, _>::new(point).encode();
    // The last bit is the sign of x.
    point[31] &= 0x7f;
    !PUBLISHED.contains(&encoded.as_str()) && !SMALL_ORDER.contains(&point)
}

#[cfg(test)]
mod tests {
    use ruma::signatures::Ed25519KeyPair;

    use super::*;

    #[test]
    fn keys_that_everybody_has_are_refused() {
        // The beginning of Go's `rand.New(rand.NewSource(0))`; the example of the specification.
        let seeds = [
            "AZT9wvov/MBB0/8SBFtzyG5P+V/2YqXu6Cq99EotC3U",
            "YJDBA9Xnr2sVqXD9Vj7XVUnmFZcZrlw8Md7kMW+3XA1",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ];
        for (seed, public) in seeds.into_iter().zip(PUBLISHED) {
            // PKCS#8 version 1 around 32 bytes.
            let header = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
            let seed = Base64::<Standard>::parse(seed).expect("base64");
            let der = [&header[..], seed.as_bytes()].concat();
            let pair = Ed25519KeyPair::from_der(&der, "1".to_owned()).expect("a key");
            let key = pair.public_key();
            assert_eq!(Base64::<Standard, _>::new(key).encode(), public);
            assert!(!is_usable(&key));
        }
    }

    #[test]
    fn keys_of_small_order_and_of_another_length_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(!is_usable(&identity));
        identity[31] = 0x80;
        assert!(!is_usable(&identity));
        assert!(!is_usable(&[0; 32]));
        assert!(!is_usable(&[7; 31]));
        let own = crate::signing_key::SigningKey::generate();
        assert!(is_usable(&own.pair().public_key()));
    }
}
