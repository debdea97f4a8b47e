//! How do callers get through to each other? See README.md for what is here and what never is.

pub mod turn;
