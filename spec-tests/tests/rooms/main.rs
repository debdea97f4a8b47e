//! What holds for rooms across endpoints.

mod fan_out;
mod history_visibility;
