//! One flag: its gates, and whether one of them is open. As with Flipper, of which GitLab's flags are made,
//! one open gate opens the flag.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use duologue_actors::protocol::GlobalId;

pub(super) const USER: &str = "User";
/// Models whose instances can be a flag's actors besides users.
pub(super) const CONTAINERS: [&str; 2] = ["Group", "Project"];

/// Buckets of `percentage_of_actors`: Flipper's scale, which lets a percentage have three decimals.
const BUCKETS: u32 = 100_000;
const BUCKETS_PER_PERCENT: f64 = 1_000.0;

/// Sets of users that flags may be on for, by name.
pub(super) type Groups = BTreeMap<String, BTreeSet<GlobalId>>;

/// The gates of one flag. Without an open one it is off.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flag {
    /// Open for everyone.
    pub boolean: bool,
    /// Users, groups and projects it is open for.
    pub actors: BTreeSet<GlobalId>,
    /// Named sets of users it is open for.
    pub groups: BTreeSet<String>,
    pub percentage_of_actors: Percentage,
    pub percentage_of_time: Percentage,
}

/// From 0 to 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Percentage(f64);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a percentage is a number from 0 to 100, such as 25 or 0.5")]
pub struct NotAPercentage;

/// A flag's state as GitLab's features API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    On,
    Off,
    /// On for some, or some of the time.
    Conditional,
}

/// What a flag is asked about.
pub(super) struct Asked<'a> {
    pub flag: &'a str,
    /// Users, groups, projects: the flag is on when it is for one of them.
    pub actors: &'a [GlobalId],
    pub groups: &'a Groups,
    /// From 0 up to but not including 1; the same for as long as one request lasts.
    pub draw: f64,
}

impl Flag {
    /// On or off for everyone.
    #[must_use]
    pub fn everyone(on: bool) -> Self {
        Self { boolean: on, ..Self::default() }
    }

    pub(super) fn is_open(&self, asked: &Asked<'_>) -> bool {
        let Asked { flag, actors, groups, draw } = *asked;
        let in_group = |group: &String| {
            groups.get(group).is_some_and(|members| actors.iter().any(|actor| members.contains(actor)))
        };
        self.boolean
            || actors.iter().any(|actor| self.actors.contains(actor))
            || self.groups.iter().any(in_group)
            || users(actors).any(|user| self.percentage_of_actors.takes_in(flag, user))
            || draw < self.percentage_of_time.0 / 100.0
    }

    /// Whether it is on for some group or project.
    pub(super) fn depends_on_container(&self) -> bool {
        !self.boolean && self.actors.iter().any(|actor| CONTAINERS.contains(&actor.model()))
    }

    /// As Flipper's `Feature#state` has it.
    #[must_use]
    pub fn state(&self) -> State {
        if self.boolean || self.percentage_of_time == Percentage::ALL {
            return State::On;
        }
        let is_closed = self.actors.is_empty()
            && self.groups.is_empty()
            && self.percentage_of_actors == Percentage::NONE
            && self.percentage_of_time == Percentage::NONE;
        if is_closed { State::Off } else { State::Conditional }
    }
}

/// For people: `on`, `off`, `on for 2 actors and 25 % of the users`.
impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.boolean {
            return f.write_str("on");
        }
        let mut open = Vec::new();
        match self.actors.len() {
            0 => {}
            1 => open.push("1 actor".to_owned()),
            count => open.push(format!("{count} actors")),
        }
        if !self.groups.is_empty() {
            let names: Vec<&str> = self.groups.iter().map(String::as_str).collect();
            let noun = if names.len() == 1 { "the feature group" } else { "the feature groups" };
            open.push(format!("{noun} {}", names.join(", ")));
        }
        if self.percentage_of_actors != Percentage::NONE {
            open.push(format!("{} % of the users", self.percentage_of_actors));
        }
        if self.percentage_of_time != Percentage::NONE {
            open.push(format!("{} % of the time", self.percentage_of_time));
        }
        match open.split_last() {
            None => f.write_str("off"),
            Some((only, [])) => write!(f, "on for {only}"),
            Some((last, others)) => write!(f, "on for {} and {last}", others.join(", ")),
        }
    }
}

impl Percentage {
    pub const NONE: Self = Self(0.0);
    pub const ALL: Self = Self(100.0);

    /// # Errors
    /// Unless `value` is a number from 0 to 100.
    pub fn new(value: f64) -> Result<Self, NotAPercentage> {
        // A zero may have a sign, which would be shown.
        if (0.0..=100.0).contains(&value) { Ok(Self(value + 0.0)) } else { Err(NotAPercentage) }
    }

    #[must_use]
    pub fn value(self) -> f64 {
        self.0
    }

    /// Whether `actor` is among this share of all actors: always the same ones for a flag, so that raising
    /// the percentage switches nobody off.
    fn takes_in(self, flag: &str, actor: &GlobalId) -> bool {
        f64::from(bucket(flag, actor)) < self.0 * BUCKETS_PER_PERCENT
    }
}

impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Percentage {
    type Err = NotAPercentage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // GitLab takes `/^\d+(\.\d+)?$/`; Rust would also take `inf`, `+1`, `1e1`, `25.` and `.5`.
        let is_digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(NotAPercentage);
        }
        text.parse().map_err(|_| NotAPercentage).and_then(Self::new)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
            Self::Conditional => "conditional",
        })
    }
}

/// How Flipper names an actor: `User:2`. GitLab's `flipper_id` is the class and the id.
#[must_use]
pub fn flipper_id(actor: &GlobalId) -> String {
    format!("{}:{}", actor.model(), actor.id())
}

/// Only users are put into buckets. GitLab asks about one actor at a time, and its bucket decides; here a
/// user, their groups and their project are asked about together, and with a bucket for each of them more
/// than the percentage of the users would be in.
fn users(actors: &[GlobalId]) -> impl Iterator<Item = &GlobalId> {
    actors.iter().filter(|actor| actor.model() == USER)
}

/// As Flipper's `PercentageOfActors` gate has it: `Zlib.crc32(flag + actor) % 100_000`.
fn bucket(flag: &str, actor: &GlobalId) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in [flag, actor.model(), ":", actor.id()] {
        crc.update(part.as_bytes());
    }
    crc.finalize() % BUCKETS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn user(id: u64) -> GlobalId {
        GlobalId::of(USER, id)
    }

    fn percent(value: f64) -> Percentage {
        Percentage::new(value).unwrap()
    }

    fn for_users(value: f64) -> Flag {
        Flag { percentage_of_actors: percent(value), ..Flag::default() }
    }

    fn is_open(flag: &Flag, name: &str, actors: &[GlobalId]) -> bool {
        flag.is_open(&Asked { flag: name, actors, groups: &Groups::new(), draw: 0.999 })
    }

    /// `python3 -c "import zlib; print(zlib.crc32(b'duo_chatUser:1') % 100000)"`, and so on.
    #[rstest]
    #[case("duo_chat", 1, 56_476)]
    #[case("duo_chat", 2, 17_318)]
    #[case("duo_chat", 3, 46_736)]
    #[case("duo_chat", 1_000_000, 3_618)]
    #[case("summarize_comments_ai", 2, 16_157)]
    #[case("summarize_comments_ai", 42, 70_828)]
    #[case("ai_global_switch", 2, 63_022)]
    #[case("a", 1, 1_752)]
    #[case("explain_code_ai", 7, 29_337)]
    #[case("explain_code_ai", u64::MAX, 50_000)]
    fn buckets_are_those_of_flipper(#[case] flag: &str, #[case] id: u64, #[case] expected: u32) {
        assert_eq!(bucket(flag, &user(id)), expected);
        let (below, above) = (f64::from(expected) / 1_000.0, f64::from(expected + 1) / 1_000.0);
        assert!(!is_open(&for_users(below), flag, &[user(id)]));
        assert!(is_open(&for_users(above), flag, &[user(id)]));
    }

    /// `sum(zlib.crc32(f"duo_chatUser:{i}".encode()) % 100000 < 25000 for i in range(1, 10001))` is 2516.
    #[test]
    fn a_quarter_of_the_users_is_the_same_quarter_as_flippers() {
        let quarter = for_users(25.0);
        let count = (1..=10_000).filter(|id| is_open(&quarter, "duo_chat", &[user(*id)])).count();
        assert_eq!(count, 2_516);
    }

    proptest! {
        #[test]
        fn raising_the_percentage_switches_nobody_off(
            id in any::<u64>(), lower in 0.0..=100.0f64, higher in 0.0..=100.0f64
        ) {
            let (lower, higher) = if lower <= higher { (lower, higher) } else { (higher, lower) };
            if is_open(&for_users(lower), "duo_chat", &[user(id)]) {
                prop_assert!(is_open(&for_users(higher), "duo_chat", &[user(id)]));
            }
            prop_assert!(!is_open(&for_users(0.0), "duo_chat", &[user(id)]));
            prop_assert!(is_open(&for_users(100.0), "duo_chat", &[user(id)]));
        }

        #[test]
        fn a_users_groups_and_projects_have_no_bucket_of_their_own(
            id in any::<u64>(), group in any::<u64>(), value in 0.0..=100.0f64
        ) {
            let actors = [user(id), GlobalId::of("Group", group), GlobalId::of("Project", group)];
            let flag = for_users(value);
            prop_assert_eq!(is_open(&flag, "a", &actors), is_open(&flag, "a", &[user(id)]));
            prop_assert!(!is_open(&flag, "a", &actors[1..]));
        }
    }

    #[test]
    fn any_open_gate_opens_the_flag() {
        let groups = Groups::from([("team".to_owned(), BTreeSet::from([user(4)]))]);
        let flag = Flag {
            actors: BTreeSet::from([user(2), GlobalId::of("Group", 10)]),
            groups: BTreeSet::from(["team".to_owned(), "nobody".to_owned()]),
            percentage_of_time: percent(10.0),
            ..Flag::default()
        };
        let asked =
            |actors: &[GlobalId], draw| flag.is_open(&Asked { flag: "f", actors, groups: &groups, draw });
        assert!(asked(&[user(2)], 0.5), "an actor");
        assert!(asked(&[user(3), GlobalId::of("Group", 10)], 0.5), "an actor's group");
        assert!(asked(&[user(4)], 0.5), "a member of a feature group");
        assert!(asked(&[user(3)], 0.099), "by chance");
        assert!(!asked(&[user(3)], 0.1) && !asked(&[], 0.5), "nobody");
    }

    #[rstest]
    #[case(Flag::everyone(true), State::On, "on")]
    #[case(Flag::everyone(false), State::Off, "off")]
    #[case(for_users(25.0), State::Conditional, "on for 25 % of the users")]
    #[case(Flag { percentage_of_time: Percentage::ALL, ..Flag::default() }, State::On, "on for 100 % of the time")]
    #[case(
        Flag { actors: BTreeSet::from([user(1), user(2)]), ..for_users(0.5) },
        State::Conditional, "on for 2 actors and 0.5 % of the users"
    )]
    #[case(
        Flag {
            actors: BTreeSet::from([user(1)]),
            groups: BTreeSet::from(["a".to_owned(), "b".to_owned()]),
            percentage_of_time: percent(10.0),
            ..Flag::default()
        },
        State::Conditional, "on for 1 actor, the feature groups a, b and 10 % of the time"
    )]
    fn a_flag_has_a_state_and_says_for_whom(
        #[case] flag: Flag,
        #[case] state: State,
        #[case] described: &str,
    ) {
        assert_eq!((flag.state(), flag.to_string().as_str()), (state, described));
    }

    #[rstest]
    #[case("25", Some(25.0))]
    #[case("0.5", Some(0.5))]
    #[case("100", Some(100.0))]
    #[case("100.1", None)]
    #[case("-1", None)]
    #[case("-0", None)]
    #[case("25.", None)]
    #[case(".5", None)]
    #[case(".", None)]
    #[case("2.5.0", None)]
    #[case("1e1", None)]
    #[case("inf", None)]
    #[case("NaN", None)]
    #[case("", None)]
    #[case("half", None)]
    fn a_percentage_is_a_plain_number(#[case] text: &str, #[case] expected: Option<f64>) {
        assert_eq!(text.parse::<Percentage>().ok().map(Percentage::value), expected);
    }
}
