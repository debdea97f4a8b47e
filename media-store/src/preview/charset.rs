//! In which letters is a page written?

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// Where a page may say so itself: within this many bytes.
const PRESCAN: usize = 4096;

/// The page's text: as its byte order mark, the answer's header or the page itself says, else UTF-8 if it can be.
pub(super) fn decode<'a>(page: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    if let Some((encoding, mark)) = Encoding::for_bom(page) {
        return encoding.decode_without_bom_handling(&page[mark..]).0;
    }
    let header = content_type.and_then(|text| label(text.as_bytes()));
    let encoding = header
        .or_else(|| declared(page))
        .unwrap_or_else(|| if may_be_utf8(page) { UTF_8 } else { WINDOWS_1252 });
    encoding.decode_without_bom_handling(page).0
}

/// Whether all of it is UTF-8, or all but a letter at the end that was cut off.
fn may_be_utf8(page: &[u8]) -> bool {
    match std::str::from_utf8(page) {
        Ok(_) => true,
        // One odd byte after nothing but ASCII is rather a letter of another encoding.
        Err(error) => error.error_len().is_none() && !page[..error.valid_up_to()].is_ascii(),
    }
}

/// What a `<meta>` element says. Whoever can read it does not write in UTF-16.
fn declared(page: &[u8]) -> Option<&'static Encoding> {
    let start = &page[..page.len().min(PRESCAN)];
    let encoding = label(start)?;
    Some(if encoding.is_ascii_compatible() { encoding } else { UTF_8 })
}

/// The encoding in `charset="utf-8"`.
fn label(text: &[u8]) -> Option<&'static Encoding> {
    const NAME: &[u8] = b"charset";
    for (at, _) in
        text.windows(NAME.len()).enumerate().filter(|(_, part)| part.eq_ignore_ascii_case(NAME))
    {
        let rest = text[at + NAME.len()..].trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b"=") else { continue };
        let rest = rest.trim_ascii_start();
        let rest = rest.strip_prefix(b"\"").or_else(|| rest.strip_prefix(b"'")).unwrap_or(rest);
        let end = rest
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && !b"-_:.".contains(byte))
            .unwrap_or(rest.len());
        if let Some(encoding) = Encoding::for_label(&rest[..end]) {
            return Some(encoding);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_in_the_letters_in_which_they_are_written() {
        for (page, content_type, text) in [
            (&b"caf\xc3\xa9"[..], None, "café"),
            (b"caf\xe9", None, "café"),
            (b"caf\xe9", Some("text/html; charset=iso-8859-1"), "café"),
            (b"caf\xe9", Some("text/html; Charset=\"ISO-8859-1\""), "café"),
            (b"\xcf\xf0\xe8\xe2\xe5\xf2", Some("text/html;charset=windows-1251"), "Привет"),
            (b"\x93\xfa\x96{", Some("text/html; charset=Shift_JIS"), "日本"),
            (b"\xef\xbb\xbfcaf\xc3\xa9", Some("text/html; charset=iso-8859-1"), "café"),
            (b"\xff\xfea\x00", None, "a"),
            (b"caf\xc3\xa9", Some("text/html; charset=unheard-of"), "café"),
            // Cut off within a letter.
            (b"\xc3\xa9t\xc3", None, "ét\u{fffd}"),
        ] {
            assert_eq!(decode(page, content_type), text, "{}", page.escape_ascii());
        }
        let page = b"<meta charset=windows-1251><title>\xcf\xf0</title>";
        assert!(decode(page, None).contains("<title>Пр</title>"));
        let page = b"<meta http-equiv='Content-Type' content='text/html; charset=koi8-r'>\xf0";
        assert!(decode(page, None).ends_with('П'));
        let page = b"<meta charset=utf-16>caf\xc3\xa9";
        assert!(decode(page, None).ends_with("café"));
    }
}
