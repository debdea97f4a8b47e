//! How much may one other server ask at the same time?

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use ruma::OwnedServerName;

/// How many requests of one caller are worked on at once.
const AT_ONCE: u32 = 100;
/// How many callers there may be at once.
const CALLERS: usize = 10_000;

/// Who asks: a server, or an address of which it is not known yet who is there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Caller {
    Server(OwnedServerName),
    Address(IpAddr),
}

impl From<OwnedServerName> for Caller {
    fn from(server: OwnedServerName) -> Self {
        Self::Server(server)
    }
}

impl From<IpAddr> for Caller {
    fn from(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

#[derive(Debug, thiserror::Error)]
#[error("too many requests at once")]
pub struct Busy;

/// Whose requests are being worked on. Cheap to clone.
#[derive(Clone, Default)]
pub struct Callers(Arc<Mutex<HashMap<Caller, u32>>>);

/// A request being worked on; it is over when this is dropped.
#[derive(Debug)]
pub struct Place {
    callers: Callers,
    caller: Caller,
}

impl std::fmt::Debug for Callers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Callers").finish_non_exhaustive()
    }
}

impl Callers {
    pub fn enter(&self, caller: Caller) -> Result<Place, Busy> {
        let mut callers = self.0.lock();
        let known = callers.len();
        let count = callers.get(&caller).copied().unwrap_or_default();
        if count >= AT_ONCE || (count == 0 && known >= CALLERS) {
            return Err(Busy);
        }
        callers.insert(caller.clone(), count + 1);
        Ok(Place { callers: self.clone(), caller })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut callers = self.callers.0.lock();
        if let Some(count) = callers.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                callers.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(name: &str) -> Caller {
        Caller::Server(name.try_into().expect("a server name"))
    }

    #[test]
    fn one_caller_does_not_take_the_place_of_another() {
        let callers = Callers::default();
        let mut places: Vec<Place> = (0..AT_ONCE)
            .map(|_| callers.enter(server("a.example")).expect("there is a place"))
            .collect();
        callers.enter(server("a.example")).expect_err("all are taken");
        callers.enter(server("b.example")).expect("it has its own");
        places.pop();
        callers.enter(server("a.example")).expect("one is free again");
    }

    #[test]
    fn nothing_is_kept_of_callers_that_are_gone() {
        let callers = Callers::default();
        for n in 0..CALLERS * 2 {
            callers.enter(server(&format!("s{n}.example"))).expect("there is a place");
        }
        assert!(callers.0.lock().is_empty());
    }
}
