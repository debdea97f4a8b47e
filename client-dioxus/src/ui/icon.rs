//! Icons of our own: lines of one width on a grid of 24, in the colour of the text around them.

use dioxus::prelude::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    Back,
    Bell,
    Camera,
    CameraOff,
    Chat,
    Check,
    Close,
    Copy,
    Down,
    Download,
    Edit,
    Exit,
    Eye,
    File,
    HangUp,
    Hash,
    Info,
    Key,
    Language,
    Lock,
    Microphone,
    MicrophoneOff,
    More,
    Palette,
    People,
    Person,
    PersonAdd,
    Plus,
    Reply,
    Screen,
    Search,
    Send,
    Settings,
    Shield,
    Smile,
    Star,
    Attach,
    Trash,
    Warning,
}

impl Icon {
    /// The `d` of a path.
    fn path(self) -> &'static str {
        match self {
            Self::Back => "M15 5l-7 7 7 7",
            Self::Bell => "M6 16V11a6 6 0 0 1 12 0v5l2 2H4l2-2zM10 21h4",
            Self::Camera => "M3 6.500h12v11H3zM15 10.500l6-3.500v10l-6-3.500",
            Self::CameraOff => "M3 6.500h12v11H3zM15 10.500l6-3.500v10l-6-3.500M3 3l18 18",
            Self::Chat => "M4 5h16v11H10l-5 4v-4H4z",
            Self::Check => "M5 12.500l4.500 4.500L19 7.500",
            Self::Close => "M6 6l12 12M18 6L6 18",
            Self::Copy => "M9 9h11v11H9zM5 15H4V4h11v1",
            Self::Down => "M5 9l7 7 7-7",
            Self::Download => "M12 4v11M7 10.500l5 5 5-5M5 20h14",
            Self::Edit => "M4 20l1-4.500L16.500 4l3.500 3.500L8.500 19zM14 6.500l3.500 3.500",
            Self::Exit => "M14 4H5v16h9M10 12h11M17 8l4 4-4 4",
            Self::Eye => {
                "M2.500 12S6 5.500 12 5.500 21.500 12 21.500 12 18 18.500 12 18.500 2.500 12 2.500 12zM12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6z"
            }
            Self::File => "M6 3h8l5 5v13H6zM14 3v5h5M9 13h6M9 17h6",
            Self::HangUp => {
                "M2.500 14.500c0-2 4-5 9.500-5s9.500 3 9.500 5v1.500l-5-.800v-2.700c-3-1-6-1-9 0v2.700l-5 .800z"
            }
            Self::Hash => "M5 9h15M4 15h15M10 4L8 20M16 4l-2 16",
            Self::Info => "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM12 11v5.500M12 7.500v.200",
            Self::Key => {
                "M8 11a4.500 4.500 0 1 1 0 9 4.500 4.500 0 0 1 0-9zM11.200 12.300L20 3.500M16 7.500l3 3"
            }
            Self::Language => {
                "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM3 12h18M12 3c3 2.500 4 5.500 4 9s-1 6.500-4 9c-3-2.500-4-5.500-4-9s1-6.500 4-9z"
            }
            Self::Lock => "M5 11h14v10H5zM8 11V7.500a4 4 0 0 1 8 0V11",
            Self::Microphone => {
                "M12 3.500a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0v-5a3 3 0 0 1 3-3zM5.500 11.500a6.500 6.500 0 0 0 13 0M12 18v3"
            }
            Self::MicrophoneOff => {
                "M12 3.500a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0v-5a3 3 0 0 1 3-3zM5.500 11.500a6.500 6.500 0 0 0 13 0M12 18v3M3.500 3.500l17 17"
            }
            Self::More => "M5.500 12h.100M12 12h.100M18.500 12h.100",
            Self::Palette => {
                "M12 3a9 9 0 1 0 0 18c1.500 0 2-1 1.500-2.200-.800-1.900.200-3.300 2-3.300H18a3 3 0 0 0 3-3c0-5.200-4-9.500-9-9.500zM7.500 11.500v.200M11 7.500v.200M16 8.500v.200"
            }
            Self::People => {
                "M9 4.500a3.500 3.500 0 1 1 0 7 3.500 3.500 0 0 1 0-7zM2.500 20c0-3.600 2.900-5.500 6.500-5.500s6.500 1.900 6.500 5.500M16 5a3.200 3.200 0 0 1 0 6.200M18 14.800c2.200.700 3.500 2.500 3.500 5.200"
            }
            Self::Person => {
                "M12 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM4.500 20.500c0-4 3.300-6 7.500-6s7.500 2 7.500 6"
            }
            Self::PersonAdd => {
                "M10 4a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM2.500 20.500c0-4 3.300-6 7.500-6 2.200 0 4.100.500 5.500 1.600M18.500 15.500v6M15.500 18.500h6"
            }
            Self::Plus => "M12 5v14M5 12h14",
            Self::Reply => "M9 6l-6 6 6 6M3.500 12H14c4 0 6.500 2.500 6.500 7",
            Self::Screen => {
                "M3 4.500h18v12H3zM8.500 20.500h7M12 16.500v4M12 13.500v-6M9 10l3-3 3 3"
            }
            Self::Search => {
                "M10.500 4a6.500 6.500 0 1 1 0 13 6.500 6.500 0 0 1 0-13zM15.500 15.500L20.500 20.500"
            }
            Self::Send => "M4 12L3.500 4.500 21 12 3.500 19.500 4 12zM4 12h8",
            Self::Settings => {
                "M3.500 7h8.500M17 7h3.500M14.500 4.500a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5zM3.500 17h3.500M12 17h8.500M9.500 14.500a2.500 2.500 0 1 1 0 5 2.500 2.500 0 0 1 0-5z"
            }
            Self::Shield => {
                "M12 3l8 3v6c0 4.500-3.200 7.500-8 9.200C7.200 19.500 4 16.500 4 12V6zM8.500 12l2.500 2.500 4.500-5"
            }
            Self::Smile => {
                "M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18zM8 14.200c.900 1.500 2.300 2.300 4 2.300s3.100-.800 4-2.300M9 9.500v.200M15 9.500v.200"
            }
            Self::Star => {
                "M12 3.500l2.700 5.600 6.100.900-4.400 4.300 1 6.100L12 17.500l-5.400 2.900 1-6.100L3.200 10l6.100-.900z"
            }
            Self::Attach => {
                "M20 11.500l-8.300 8.200a5 5 0 0 1-7.100-7.100l8.600-8.500a3.400 3.400 0 0 1 4.800 4.800L9.500 17.300a1.700 1.700 0 0 1-2.400-2.400l7.600-7.500"
            }
            Self::Trash => "M4 7h16M9 7V4h6v3M6 7l1 13.500h10L18 7M10 11v6M14 11v6",
            Self::Warning => "M12 3.500L22 20.500H2zM12 10v5M12 17.800v.200",
        }
    }
}

impl Icon {
    /// `{Icon::Send.draw()}` in `rsx!`.
    pub fn draw(self) -> Element {
        let width = if self == Self::More { "2.6" } else { "1.8" };
        rsx! {
            svg {
                class: "icon",
                view_box: "0 0 24 24",
                fill: "none",
                stroke: "currentColor",
                stroke_width: width,
                stroke_linecap: "round",
                stroke_linejoin: "round",
                "aria-hidden": "true",
                path { d: self.path() }
            }
        }
    }
}
