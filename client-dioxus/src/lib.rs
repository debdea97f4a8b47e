//! What does a person see? See README.md for what is here and what never is.

pub mod room_name;
