//! What happened to a room in a run of changes, in few words: who came, who left, how much was set.

use std::ops::Range;

use super::{Change, ChangeKind};
use crate::Person;

/// Fewer changes in a row than this are told one by one.
const MIN_RUN: usize = 3;

/// Which rows are drawn together: each run of changes, and every other row for itself; in order, without
/// gaps. `changes` says of each row whether it is an [`super::Item::Change`].
pub fn runs(changes: impl IntoIterator<Item = bool>) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    // Where the changes began that are not part of `runs` yet.
    let mut begun = 0;
    let mut end = 0;
    for (index, change) in changes.into_iter().enumerate() {
        if !change {
            close(&mut runs, begun..index);
            runs.push(index..index + 1);
            begun = index + 1;
        }
        end = index + 1;
    }
    close(&mut runs, begun..end);
    runs
}

fn close(runs: &mut Vec<Range<usize>>, changes: Range<usize>) {
    if changes.len() >= MIN_RUN {
        runs.push(changes);
    } else {
        runs.extend(changes.map(|index| index..index + 1));
    }
}

/// A run of changes, told in a line; in the order of [`Happening`].
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Never empty, unless the run is.
    pub parts: Vec<Part>,
    /// Whom it is about, everybody once; the first few are worth a face.
    pub people: Vec<Person>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub happening: Happening,
    /// Everybody once, in the order of the run.
    pub who: Vec<Person>,
}

/// What happened to the people of a [`Part`], or what they did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    /// They made the room, and set so many other things about it.
    Created {
        settings: usize,
    },
    /// They set so many things about the room.
    Set {
        settings: usize,
    },
    Invited,
    Joined,
    Left,
    /// They joined and left again.
    CameAndWent,
    /// They left and joined again.
    CameBack,
    Removed,
    Banned,
    Unbanned,
    DeclinedInvite,
    /// Their invitation was taken back.
    Uninvited,
    Knocked,
    /// They have another name or picture now.
    ChangedProfile,
}

impl Summary {
    pub fn of(changes: &[Change]) -> Self {
        let mut told = Told::default();
        for change in changes {
            told.add(change);
        }
        told.summary()
    }
}

/// What the changes so far come to.
#[derive(Default)]
struct Told {
    creator: Option<Person>,
    settings: usize,
    setters: Vec<Person>,
    /// What became of whom; a later step may change what the earlier ones come to.
    members: Vec<(Person, Happening)>,
    profiles: Vec<Person>,
}

impl Told {
    fn add(&mut self, change: &Change) {
        let by = &change.sender;
        match &change.kind {
            ChangeKind::Joined => self.member(by, Happening::Joined),
            ChangeKind::Invited { who } => self.member(who, Happening::Invited),
            ChangeKind::Left => self.member(by, Happening::Left),
            ChangeKind::Removed { who } => self.member(who, Happening::Removed),
            ChangeKind::Banned { who } => self.member(who, Happening::Banned),
            ChangeKind::Unbanned { who } => self.member(who, Happening::Unbanned),
            ChangeKind::DeclinedInvite => self.member(by, Happening::DeclinedInvite),
            ChangeKind::RevokedInvite { who } => self.member(who, Happening::Uninvited),
            ChangeKind::Knocked => self.member(by, Happening::Knocked),
            ChangeKind::ChangedName { .. } | ChangeKind::ChangedAvatar => {
                once(&mut self.profiles, by);
            }
            ChangeKind::RoomCreated => self.creator = Some(by.clone()),
            ChangeKind::RoomNamed(_)
            | ChangeKind::TopicSet(_)
            | ChangeKind::RoomAvatarSet
            | ChangeKind::EncryptionEnabled
            | ChangeKind::PermissionsChanged
            | ChangeKind::AccessChanged
            | ChangeKind::HistoryChanged
            | ChangeKind::Pinned
            | ChangeKind::Replaced
            | ChangeKind::Other(_) => {
                self.settings += 1;
                once(&mut self.setters, by);
            }
        }
    }

    fn member(&mut self, who: &Person, what: Happening) {
        // Whoever makes a room is in it.
        let creator = self.creator.as_ref().is_some_and(|creator| creator.id == who.id);
        if creator && what == Happening::Joined {
            return;
        }
        match self.members.iter_mut().find(|(person, _)| person.id == who.id) {
            Some((person, before)) => {
                *before = after(*before, what);
                // Later events know more of the name.
                *person = who.clone();
            }
            None => self.members.push((who.clone(), what)),
        }
    }

    fn summary(self) -> Summary {
        let Self { creator, settings, setters, members, profiles } = self;
        let mut parts = Vec::new();
        let alone = |creator: &Person| setters.iter().all(|setter| setter.id == creator.id);
        match creator {
            Some(creator) if alone(&creator) => {
                parts.push(Part { happening: Happening::Created { settings }, who: vec![creator] });
            }
            creator => {
                if let Some(creator) = creator {
                    let happening = Happening::Created { settings: 0 };
                    parts.push(Part { happening, who: vec![creator] });
                }
                if settings > 0 {
                    parts.push(Part { happening: Happening::Set { settings }, who: setters });
                }
            }
        }
        let mut happenings: Vec<Happening> =
            members.iter().map(|(_, happening)| *happening).collect();
        happenings.sort_unstable();
        happenings.dedup();
        for happening in happenings {
            let who = members.iter().filter(|(_, what)| *what == happening);
            parts.push(Part { happening, who: who.map(|(person, _)| person.clone()).collect() });
        }
        if !profiles.is_empty() {
            parts.push(Part { happening: Happening::ChangedProfile, who: profiles });
        }
        let mut people = Vec::new();
        for person in parts.iter().flat_map(|part| &part.who) {
            once(&mut people, person);
        }
        Summary { parts, people }
    }
}

/// What two steps of one person come to.
fn after(before: Happening, now: Happening) -> Happening {
    match (before, now) {
        (Happening::Joined, Happening::Left) => Happening::CameAndWent,
        (Happening::Left, Happening::Joined) => Happening::CameBack,
        (_, now) => now,
    }
}

fn once(people: &mut Vec<Person>, person: &Person) {
    if !people.iter().any(|known| known.id == person.id) {
        people.push(person.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(name: &str) -> Person {
        Person { id: format!("@{name}:team.example"), name: name.to_owned(), avatar: None }
    }

    fn change(name: &str, kind: ChangeKind) -> Change {
        Change { event_id: String::new(), sender: person(name), time: 0, kind }
    }

    fn told(changes: &[Change]) -> Vec<(Happening, String)> {
        let parts = Summary::of(changes).parts.into_iter();
        let names =
            |part: &Part| part.who.iter().map(|it| it.name.as_str()).collect::<Vec<_>>().join(" ");
        parts.map(|part| (part.happening, names(&part))).collect()
    }

    #[test]
    fn three_changes_in_a_row_are_drawn_together_and_two_are_not() {
        let of = |text: &str| runs(text.chars().map(|it| it == 'c'));
        assert!(of("").is_empty());
        assert_eq!(of("ccmcccmc"), [0..1, 1..2, 2..3, 3..6, 6..7, 7..8]);
        assert_eq!(of("mccc"), [0..1, 1..4]);
        assert_eq!(of("mm"), [0..1, 1..2]);
    }

    #[test]
    fn a_new_room_is_told_in_one_part() {
        let bob = ChangeKind::Invited { who: person("bob") };
        let run = [
            change("alice", ChangeKind::RoomCreated),
            change("alice", ChangeKind::Joined),
            change("alice", ChangeKind::PermissionsChanged),
            change("alice", ChangeKind::AccessChanged),
            change("alice", ChangeKind::RoomNamed(Some("Garden".to_owned()))),
        ];
        assert_eq!(told(&run), [(Happening::Created { settings: 3 }, "alice".to_owned())]);
        let run = [&run[..], &[change("alice", bob), change("bob", ChangeKind::Joined)]].concat();
        let joined = (Happening::Joined, "bob".to_owned());
        assert_eq!(told(&run), [(Happening::Created { settings: 3 }, "alice".to_owned()), joined]);
    }

    #[test]
    fn settings_of_others_than_the_maker_are_not_the_makers() {
        let run = [
            change("alice", ChangeKind::RoomCreated),
            change("alice", ChangeKind::Pinned),
            change("bob", ChangeKind::RoomAvatarSet),
        ];
        let created = (Happening::Created { settings: 0 }, "alice".to_owned());
        assert_eq!(told(&run), [created, (Happening::Set { settings: 2 }, "alice bob".to_owned())]);
    }

    #[test]
    fn everybody_is_told_once_by_what_became_of_them() {
        let run = [
            change("bob", ChangeKind::Joined),
            change("carol", ChangeKind::Joined),
            change("dora", ChangeKind::Left),
            change("carol", ChangeKind::Left),
            change("bob", ChangeKind::ChangedAvatar),
            change("alice", ChangeKind::Banned { who: person("dora") }),
            change("eve", ChangeKind::Joined),
        ];
        let expected = [
            (Happening::Joined, "bob eve".to_owned()),
            (Happening::CameAndWent, "carol".to_owned()),
            (Happening::Banned, "dora".to_owned()),
            (Happening::ChangedProfile, "bob".to_owned()),
        ];
        assert_eq!(told(&run), expected);
        let people = Summary::of(&run).people;
        assert_eq!(people.len(), 4);
    }
}
