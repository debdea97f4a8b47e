//! Both languages say everything.

use std::collections::BTreeSet;
use std::path::Path;

use dioxus::prelude::*;
use kith_client::i18n::Language;
use kith_client::t;

use crate::html_in;

fn keys(language: Language) -> BTreeSet<String> {
    let lines = language.source().lines().filter(|line| !line.starts_with(['#', ' ', '}']));
    lines.filter_map(|line| Some(line.split_once(" =")?.0.to_owned())).collect()
}

#[test]
fn both_languages_have_the_same_keys() {
    let (english, chinese) = (keys(Language::English), keys(Language::Chinese));
    assert!(english.len() > 300);
    assert_eq!(english, chinese);
}

/// What the code asks for by name is there. Keys that are put together are covered by the tests of their parts.
#[test]
fn every_key_in_the_code_is_there() {
    let known = keys(Language::English);
    let mut asked = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut asked);
    assert!(asked.len() > 200, "{}", asked.len());
    let missing: Vec<_> = asked.difference(&known).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

fn collect(folder: &Path, asked: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, asked);
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = code.collect::<Vec<_>>().join("\n");
        for (at, call) in code.match_indices("t!(") {
            // The end of `format!` is none.
            let whole =
                !code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
            let rest = code[at + call.len()..].trim_start();
            let key = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
            asked.extend(key.filter(|_| whole).map(|(key, _)| key.to_owned()));
        }
    }
}

#[test]
fn numbers_and_names_are_filled_in() {
    let count = |language, count: u64| {
        html_in(language, move || rsx! { {t!("unread-count", count: count)} })
    };
    assert_eq!(count(Language::English, 1), "One unread message");
    assert_eq!(count(Language::English, 5), "5 unread messages");
    assert_eq!(count(Language::Chinese, 5), "5 条未读消息");
}

/// Both name all emoji that a verification can show.
#[test]
fn all_signs_of_a_verification_have_names() {
    for language in Language::ALL {
        assert_eq!(keys(language).iter().filter(|key| key.starts_with("sas-")).count(), 64);
    }
}
