//! How do rooms change, and what is in them?

use kith_store::Store;

use crate::team::Team;

/// The rooms of one team. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    #[allow(dead_code)]
    team: Team,
    #[allow(dead_code)]
    store: Store,
}

impl Rooms {
    pub fn new(team: Team, store: Store) -> Self {
        Self { team, store }
    }
}
