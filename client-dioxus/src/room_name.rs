//! What is a room called, if nobody has named it?
//!
//! [Spec](https://spec.matrix.org/latest/client-server-api/#calculating-the-display-name-for-a-room)

/// How many members are named before the rest is counted.
const NAMED: usize = 5;

/// What `/sync` tells about a room, as far as its name depends on it.
#[derive(Debug, Clone, Default)]
pub struct RoomSummary {
    /// `name` of `m.room.name`.
    pub name: Option<String>,
    /// `alias` of `m.room.canonical_alias`; alternative aliases name nothing.
    pub canonical_alias: Option<String>,
    /// `m.heroes` in the server's order, without the person who looks; members, or in a room that
    /// all have left, former members.
    pub heroes: Vec<Hero>,
    /// `m.joined_member_count`, with the person who looks.
    pub joined_members: u64,
    /// `m.invited_member_count`.
    pub invited_members: u64,
}

#[derive(Debug, Clone)]
pub struct Hero {
    pub user_id: String,
    pub display_name: Option<String>,
}

/// The name to show, in English.
pub fn room_name(room: &RoomSummary) -> String {
    if let Some(name) = room.name.as_deref().filter(|name| !name.trim().is_empty()) {
        return name.to_owned();
    }
    if let Some(alias) = room.canonical_alias.as_deref().filter(|alias| is_alias(alias)) {
        return alias.to_owned();
    }
    let mut names = hero_names(&room.heroes);
    names.truncate(NAMED);
    let members = room.joined_members.saturating_add(room.invited_members);
    if members <= 1 {
        // Alone; the heroes are those who have left.
        return match names.is_empty() {
            true => "Empty Room".to_owned(),
            false => format!("Empty Room (was {})", list(names)),
        };
    }
    let unnamed = (members - 1).saturating_sub(names.len() as u64);
    if unnamed > 0 {
        names.push(match unnamed {
            1 => "1 other".to_owned(),
            _ => format!("{unnamed} others"),
        });
    }
    list(names)
}

/// Display names; of those who share one, with the user id.
/// [Spec](https://spec.matrix.org/latest/client-server-api/#calculating-the-display-name-for-a-user)
fn hero_names(heroes: &[Hero]) -> Vec<String> {
    let name = |hero: &Hero| hero.display_name.clone().filter(|name| !name.trim().is_empty());
    heroes
        .iter()
        .map(|hero| {
            let Some(own) = name(hero) else {
                return hero.user_id.clone();
            };
            let bearers = heroes.iter().filter(|other| name(other).as_ref() == Some(&own)).count();
            if bearers > 1 { format!("{own} ({})", hero.user_id) } else { own }
        })
        .collect()
}

/// "Alice", "Alice and Bob", "Alice, Bob, and Charlie".
fn list(mut names: Vec<String>) -> String {
    match names.len() {
        0 | 1 => names.pop().unwrap_or_default(),
        2 => names.join(" and "),
        _ => {
            let last = names.pop().unwrap_or_default();
            format!("{}, and {last}", names.join(", "))
        }
    }
}

fn is_alias(alias: &str) -> bool {
    let parts = alias.strip_prefix('#').and_then(|alias| alias.split_once(':'));
    parts.is_some_and(|(local, server)| !local.is_empty() && !server.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heroes(names: &[&str]) -> Vec<Hero> {
        let hero = |name: &&str| Hero {
            user_id: format!("@{}:team.example", name.to_lowercase()),
            display_name: Some((*name).to_owned()),
        };
        names.iter().map(hero).collect()
    }

    /// A room with these heroes and this many members, the looker counted.
    fn room(names: &[&str], joined_members: u64) -> RoomSummary {
        RoomSummary { heroes: heroes(names), joined_members, ..RoomSummary::default() }
    }

    #[test]
    fn the_rooms_name_comes_first() {
        let mut room = room(&["Alice"], 2);
        room.name = Some("Kitchen".to_owned());
        room.canonical_alias = Some("#kitchen:team.example".to_owned());
        assert_eq!(room_name(&room), "Kitchen");
        for empty in ["", "  "] {
            room.name = Some(empty.to_owned());
            assert_eq!(room_name(&room), "#kitchen:team.example");
        }
    }

    #[test]
    fn an_invalid_alias_names_nothing() {
        for alias in ["", "kitchen:team.example", "#kitchen", "#:team.example", "#kitchen:"] {
            let mut room = room(&["Alice"], 2);
            room.canonical_alias = Some(alias.to_owned());
            assert_eq!(room_name(&room), "Alice", "{alias}");
        }
    }

    #[test]
    fn a_small_room_is_called_after_everybody_else() {
        assert_eq!(room_name(&room(&["Alice"], 2)), "Alice");
        assert_eq!(room_name(&room(&["Alice", "Bob"], 3)), "Alice and Bob");
        assert_eq!(room_name(&room(&["Alice", "Bob", "Charlie"], 4)), "Alice, Bob, and Charlie");
    }

    #[test]
    fn a_large_room_counts_the_rest() {
        assert_eq!(room_name(&room(&["Alice", "Bob"], 1237)), "Alice, Bob, and 1234 others");
        assert_eq!(room_name(&room(&["Alice", "Bob"], 4)), "Alice, Bob, and 1 other");
        assert_eq!(room_name(&room(&["Alice"], 3)), "Alice and 1 other");
        let many = ["A", "B", "C", "D", "E", "F", "G"];
        assert_eq!(room_name(&room(&many, 8)), "A, B, C, D, E, and 2 others");
        assert_eq!(room_name(&room(&[], 3)), "2 others");
    }

    #[test]
    fn the_invited_count_as_members() {
        let mut room = room(&["Alice"], 1);
        room.invited_members = 1;
        assert_eq!(room_name(&room), "Alice");
        room.invited_members = 3;
        assert_eq!(room_name(&room), "Alice and 2 others");
    }

    #[test]
    fn a_room_that_all_have_left_is_empty() {
        assert_eq!(room_name(&room(&[], 1)), "Empty Room");
        assert_eq!(room_name(&room(&[], 0)), "Empty Room");
        assert_eq!(room_name(&room(&["Alice"], 1)), "Empty Room (was Alice)");
        assert_eq!(room_name(&room(&["Alice", "Bob"], 1)), "Empty Room (was Alice and Bob)");
    }

    #[test]
    fn people_of_one_name_are_told_apart() {
        let mut room = room(&["Alice", "Bob", "Alice"], 4);
        room.heroes[2].user_id = "@alice2:team.example".to_owned();
        assert_eq!(
            room_name(&room),
            "Alice (@alice:team.example), Bob, and Alice (@alice2:team.example)"
        );
    }

    #[test]
    fn without_a_display_name_the_user_id_is_shown() {
        let mut room = room(&["Alice", "Bob"], 3);
        room.heroes[0].display_name = None;
        room.heroes[1].display_name = Some(String::new());
        assert_eq!(room_name(&room), "@alice:team.example and @bob:team.example");
    }
}
