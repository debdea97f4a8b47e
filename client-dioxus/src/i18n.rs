//! In which language, and in which words?
//!
//! `t!("key")` and `t!("key", name: value)` give a text of `assets/locales/<language>/kith.ftl`.
//! [Fluent's syntax](https://projectfluent.org/fluent/guide/)

use std::rc::Rc;

use dioxus::prelude::*;
use fluent_bundle::{FluentArgs, FluentBundle, FluentResource, FluentValue};
use unic_langid::LanguageIdentifier;

use crate::platform::{self, LocalTime};

const ENGLISH: &str = include_str!("../assets/locales/en/kith.ftl");
const CHINESE: &str = include_str!("../assets/locales/zh-CN/kith.ftl");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    English,
    Chinese,
}

impl Language {
    pub const ALL: [Self; 2] = [Self::English, Self::Chinese];

    /// As HTML's `lang` has it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// In its own words.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Chinese => "简体中文",
        }
    }

    /// All texts of the language.
    pub fn source(self) -> &'static str {
        match self {
            Self::English => ENGLISH,
            Self::Chinese => CHINESE,
        }
    }

    pub fn of_tag(tag: &str) -> Option<Self> {
        let tag = tag.to_lowercase();
        match tag.split('-').next() {
            Some("en") => Some(Self::English),
            Some("zh") => Some(Self::Chinese),
            _ => None,
        }
    }

    /// The one that was chosen on this device, else the first that the system likes and we speak.
    pub fn preferred() -> Self {
        let chosen = platform::read_setting("language").and_then(|tag| Self::of_tag(&tag));
        let liked = || platform::languages().iter().find_map(|tag| Self::of_tag(tag));
        chosen.or_else(liked).unwrap_or(Self::English)
    }

    fn id(self) -> LanguageIdentifier {
        self.tag().parse().expect("our tags are valid")
    }
}

/// The texts, and the language that is shown.
#[derive(Clone)]
pub struct Texts {
    pub language: Signal<Language>,
    bundles: Rc<[FluentBundle<FluentResource>; 2]>,
}

impl Texts {
    pub fn new(language: Language) -> Self {
        Self { language: Signal::new(language), bundles: Rc::new(Language::ALL.map(bundle)) }
    }

    /// From now on, and on this device.
    pub fn choose(&self, language: Language) {
        let mut shown = self.language;
        shown.set(language);
        platform::write_setting("language", language.tag());
        platform::set_language(language.tag());
    }

    pub fn text(&self, key: &str, values: &[(&str, FluentValue<'_>)]) -> String {
        let language = (self.language)();
        let place = Language::ALL.iter().position(|known| *known == language).unwrap_or(0);
        let bundle = &self.bundles[place];
        let Some(pattern) = bundle.get_message(key).and_then(|message| message.value()) else {
            tracing::warn!(key, "no such text");
            return key.to_owned();
        };
        let mut arguments = FluentArgs::with_capacity(values.len());
        for (name, value) in values {
            arguments.set(*name, value.clone());
        }
        bundle.format_pattern(pattern, Some(&arguments), &mut Vec::new()).into_owned()
    }
}

fn bundle(language: Language) -> FluentBundle<FluentResource> {
    let resource = FluentResource::try_new(language.source().to_owned());
    let resource = resource.unwrap_or_else(|(resource, errors)| {
        tracing::warn!(?errors, "texts that cannot be read");
        resource
    });
    let mut bundle = FluentBundle::new(vec![language.id()]);
    // Marks around values would be copied along with them; both languages run from left to right.
    bundle.set_use_isolating(false);
    if let Err(errors) = bundle.add_resource(resource) {
        tracing::warn!(?errors, "texts that are there twice");
    }
    bundle
}

/// A text in the language that is shown; whoever draws it is drawn again when the language changes.
pub fn text(key: &str, values: &[(&str, FluentValue<'_>)]) -> String {
    consume_context::<Texts>().text(key, values)
}

#[macro_export]
macro_rules! t {
    ($key:expr) => { $crate::i18n::text($key, &[]) };
    ($key:expr, $($name:ident : $value:expr),+ $(,)?) => {
        $crate::i18n::text($key, &[$((stringify!($name), $value.into())),+])
    };
}

/// `14:05`
pub fn clock(milliseconds: u64) -> String {
    let LocalTime { hour, minute, .. } = platform::local_time(milliseconds);
    format!("{hour:02}:{minute:02}")
}

/// A day as a divider names it: today, yesterday, or its date.
pub fn day(milliseconds: u64) -> String {
    let (then, now) = (platform::local_time(milliseconds), platform::local_time(platform::now()));
    let yesterday = platform::local_time(platform::now().saturating_sub(86_400_000));
    if same_day(then, now) {
        return t!("today");
    }
    if same_day(then, yesterday) {
        return t!("yesterday");
    }
    let key = if then.year == now.year { "date" } else { "date-with-year" };
    date(key, then)
}

/// When, in as few letters as a list has room for: the time, the weekday, or the date.
pub fn short_time(milliseconds: u64) -> String {
    let now = platform::now();
    let (then, today) = (platform::local_time(milliseconds), platform::local_time(now));
    if same_day(then, today) {
        return clock(milliseconds);
    }
    if now.saturating_sub(milliseconds) < 6 * 86_400_000 {
        return t!(&format!("weekday-short-{}", then.weekday));
    }
    date(if then.year == today.year { "date-short" } else { "date-short-with-year" }, then)
}

/// Day and time, for a tooltip.
pub fn long_time(milliseconds: u64) -> String {
    let then = platform::local_time(milliseconds);
    format!("{} {}", date("date-with-year", then), clock(milliseconds))
}

fn same_day(one: LocalTime, other: LocalTime) -> bool {
    (one.year, one.month, one.day) == (other.year, other.month, other.day)
}

fn date(key: &str, time: LocalTime) -> String {
    t!(
        key,
        year: time.year,
        number: time.month,
        month: t!(&format!("month-{}", time.month)),
        day: time.day,
        weekday: t!(&format!("weekday-{}", time.weekday)),
    )
}

/// `1.4 MB`
pub fn bytes(size: u64) -> String {
    let units = ["B", "kB", "MB", "GB"];
    let (mut amount, mut unit) = (size as f64, 0);
    while amount >= 1000.0 && unit + 1 < units.len() {
        (amount, unit) = (amount / 1000.0, unit + 1);
    }
    match unit {
        0 => format!("{size} B"),
        _ => format!("{amount:.1} {}", units[unit]),
    }
}
