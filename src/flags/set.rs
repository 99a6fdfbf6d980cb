//! All flags at one moment: what the file people write says, and over it what was changed at run time.

use std::{collections::BTreeMap, sync::Arc};

use duologue_actors::{ports::Flags, protocol::GlobalId};

use super::{
    file::FlagFile,
    gates::{Asked, Flag},
};

/// The flags in force.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct FlagSet {
    pub start: FlagFile,
    /// A flag here stands for the one of the same name in `start`.
    pub changes: BTreeMap<String, Flag>,
}

impl FlagSet {
    pub fn get(&self, name: &str) -> Option<&Flag> {
        self.changes.get(name).or_else(|| self.start.flags.get(name))
    }

    /// The names of all flags that are set, in order.
    pub fn names(&self) -> impl Iterator<Item = &String> {
        let unchanged = self.start.flags.keys().filter(|name| !self.changes.contains_key(*name));
        let mut names: Vec<&String> = unchanged.chain(self.changes.keys()).collect();
        names.sort();
        names.into_iter()
    }

    /// The changed flags that are on for a group nobody defines any more, which is nobody.
    pub fn lost_groups(&self) -> Vec<(&String, &String)> {
        let of_flag = |(name, flag)| {
            let flag: &Flag = flag;
            let lost = flag.groups.iter().filter(|group| !self.start.groups.contains_key(*group));
            lost.map(move |group| (name, group)).collect::<Vec<_>>()
        };
        self.changes.iter().flat_map(of_flag).collect()
    }

    /// What is different from `before`, for the log.
    pub fn differences(&self, before: &Self) -> Vec<String> {
        let mut names: Vec<&String> = self.names().chain(before.names()).collect();
        names.sort();
        names.dedup();
        names.retain(|name| self.get(name) != before.get(name));
        names.into_iter().map(|name| format!("{name} is {}", described(self.get(name)))).collect()
    }
}

fn described(flag: Option<&Flag>) -> String {
    flag.map_or("not set".to_owned(), ToString::to_string)
}

/// The flags as one request sees them. Chance is drawn once: a flag that is on for some of the time is on,
/// or off, for the whole request.
#[derive(Debug)]
pub(super) struct Snapshot {
    set: Arc<FlagSet>,
    seed: u64,
}

impl Snapshot {
    pub fn new(set: Arc<FlagSet>, seed: u64) -> Self {
        Self { set, seed }
    }

    /// From 0 up to but not including 1. Each flag has its own: two flags that are on for half of the time
    /// are not on at the same times.
    fn draw(&self, flag: &str) -> f64 {
        const MANTISSA_BITS: u32 = 53;
        let mixed = mix(self.seed ^ mix(u64::from(crc32fast::hash(flag.as_bytes()))));
        // 53 bits are what a double holds exactly.
        let (numerator, denominator) =
            ((mixed >> (u64::BITS - MANTISSA_BITS)) as f64, (1_u64 << MANTISSA_BITS) as f64);
        numerator / denominator
    }
}

impl Flags for Snapshot {
    fn enabled(&self, flag: &str, default: bool, actors: &[GlobalId]) -> bool {
        let Some(gates) = self.set.get(flag) else {
            return default;
        };
        gates.is_open(&Asked { flag, actors, groups: &self.set.start.groups, draw: self.draw(flag) })
    }

    fn depends_on_container(&self, flag: &str) -> bool {
        self.set.get(flag).is_some_and(Flag::depends_on_container)
    }

    fn describe(&self, flag: &str) -> Option<String> {
        self.set.get(flag).map(ToString::to_string)
    }
}

/// The finalizer of SplitMix64: neighbouring numbers come out unlike each other.
pub(super) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{
        file::{parse_changes, parse_start},
        names::Names,
    };

    fn set(start: &str, changes: &str) -> FlagSet {
        let names = Names::default();
        FlagSet {
            start: parse_start("f", start, &names).unwrap(),
            changes: parse_changes("c", changes, &names).unwrap(),
        }
    }

    fn snapshot(start: &str, changes: &str) -> Snapshot {
        Snapshot::new(Arc::new(set(start, changes)), 7)
    }

    fn alice() -> [GlobalId; 1] {
        [GlobalId::of("User", 2)]
    }

    #[test]
    fn a_flag_is_on_off_on_for_some_or_unknown() {
        let flags = snapshot("on: true\noff: false\nsome: {actors: [gid://gitlab/User/2]}\n", "");
        assert!(flags.enabled("on", false, &[]));
        assert!(!flags.enabled("off", true, &alice()));
        assert!(flags.enabled("some", false, &alice()));
        assert!(!flags.enabled("some", true, &[GlobalId::of("User", 3)]));
        assert!(flags.enabled("unknown", true, &[]) && !flags.enabled("unknown", false, &alice()));
        let described = ["on", "off", "some", "unknown"].map(|flag| flags.describe(flag));
        let [on, off, some] = ["on", "off", "on for 1 actor"].map(|text| Some(text.to_owned()));
        assert_eq!(described, [on, off, some, None]);
    }

    #[test]
    fn only_gates_of_groups_and_projects_wait_for_the_container() {
        let text = "a: {actors: [gid://gitlab/User/2], percentage_of_actors: 50}\n\
                    b: {actors: [gid://gitlab/Group/10]}\nc: true\nd: {actors: [gid://gitlab/Project/20]}\n";
        let flags = snapshot(text, "");
        let waiting = ["a", "b", "c", "d", "unknown"].map(|flag| flags.depends_on_container(flag));
        assert_eq!(waiting, [false, true, false, true, false]);
    }

    #[test]
    fn a_changed_flag_replaces_the_one_of_the_file_with_all_its_gates() {
        let start = "$groups: {team: [gid://gitlab/User/3]}\n\
                     a: {actors: [gid://gitlab/User/2]}\nb: true\nc: false\n";
        let flags = snapshot(start, "a: {groups: [team]}\nb: false\nd: true\n");
        assert!(!flags.enabled("a", false, &alice()), "alice was in the file only");
        assert!(flags.enabled("a", false, &[GlobalId::of("User", 3)]));
        let on = ["b", "c", "d"].map(|flag| flags.enabled(flag, true, &[]));
        assert_eq!(on, [false, false, true]);
        assert_eq!(flags.set.names().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn a_group_that_is_gone_is_nobody_and_is_named() {
        let set = set("$groups: {team: [gid://gitlab/User/2]}\n", "a: {groups: [team, gone]}\n");
        assert_eq!(set.lost_groups(), [(&"a".to_owned(), &"gone".to_owned())]);
        assert!(Snapshot::new(Arc::new(set), 0).enabled("a", false, &alice()));
    }

    #[test]
    fn differences_are_told_with_what_is_so_now() {
        let (before, now) = (set("a: true\nb: true\nc: true\n", ""), set("a: true\nb: true\n", "b: false\n"));
        assert_eq!(now.differences(&before), ["b is off", "c is not set"]);
        assert_eq!(now.differences(&now), [""; 0]);
    }

    #[test]
    fn chance_is_drawn_once_for_a_request_and_anew_for_the_next() {
        const REQUESTS: u64 = 10_000;
        let set = Arc::new(set("half: {percentage_of_time: 50}\nother: {percentage_of_time: 50}\n", ""));
        let (mut on, mut alike) = (0_u32, 0_u32);
        for seed in 0..REQUESTS {
            let snapshot = Snapshot::new(Arc::clone(&set), seed);
            let first = snapshot.enabled("half", false, &alice());
            assert!((0..5).all(|_| snapshot.enabled("half", false, &[]) == first));
            on += u32::from(first);
            alike += u32::from(first == snapshot.enabled("other", false, &[]));
        }
        // Six standard deviations around half of 10,000.
        assert!((4_700..=5_300).contains(&on), "{on}");
        assert!((4_700..=5_300).contains(&alike), "{alike}");
    }
}
