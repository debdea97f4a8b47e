//! How does this person like it? Kept on this device.

use dioxus::prelude::*;

use crate::platform;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theme {
    System,
    Light,
    Dark,
}

impl Theme {
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// As the style sheet and the settings name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    fn kept() -> Self {
        let name = platform::read_setting("theme");
        Self::ALL
            .into_iter()
            .find(|theme| Some(theme.name()) == name.as_deref())
            .unwrap_or(Self::System)
    }
}

/// Of the context.
#[derive(Clone, Copy)]
pub struct Preferences {
    pub theme: Signal<Theme>,
}

impl Preferences {
    pub fn kept() -> Self {
        Self { theme: Signal::new(Theme::kept()) }
    }

    /// From now on, and on this device.
    pub fn choose_theme(mut self, theme: Theme) {
        self.theme.set(theme);
        platform::write_setting("theme", theme.name());
        platform::set_theme(theme.name());
    }
}
