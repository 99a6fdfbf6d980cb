//! What can be changed about a flag at run time.

use std::fmt;

use duologue_actors::protocol::GlobalId;

use super::gates::{CONTAINERS, Flag, Percentage, flipper_id};

/// One change of one flag.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// On or off for everyone. As in Flipper this closes all other gates too.
    Everyone(bool),
    /// On or no longer on for one of them. What is on for everyone stays on for this one too.
    For(Target, bool),
    PercentageOfActors(Percentage),
    PercentageOfTime(Percentage),
}

/// Whom a gate is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A user, a group or a project.
    Actor(GlobalId),
    /// A named set of users.
    FeatureGroup(String),
}

impl Target {
    /// A group or a project.
    pub(super) fn is_container(&self) -> bool {
        matches!(self, Self::Actor(actor) if CONTAINERS.contains(&actor.model()))
    }
}

impl Change {
    pub(super) fn apply(&self, flag: &mut Flag) {
        match self {
            Self::Everyone(on) => *flag = Flag::everyone(*on),
            Self::For(Target::Actor(actor), true) => drop(flag.actors.insert(actor.clone())),
            Self::For(Target::Actor(actor), false) => drop(flag.actors.remove(actor)),
            Self::For(Target::FeatureGroup(group), true) => drop(flag.groups.insert(group.clone())),
            Self::For(Target::FeatureGroup(group), false) => drop(flag.groups.remove(group)),
            Self::PercentageOfActors(percentage) => flag.percentage_of_actors = *percentage,
            Self::PercentageOfTime(percentage) => flag.percentage_of_time = *percentage,
        }
    }
}

/// For the log: `on`, `off for User:2`, `on for 25 % of the users`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let switched = |on: &bool| if *on { "on" } else { "off" };
        match self {
            Self::Everyone(on) => f.write_str(switched(on)),
            Self::For(target, on) => write!(f, "{} for {target}", switched(on)),
            Self::PercentageOfActors(percentage) => write!(f, "on for {percentage} % of the users"),
            Self::PercentageOfTime(percentage) => write!(f, "on for {percentage} % of the time"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Actor(actor) => f.write_str(&flipper_id(actor)),
            Self::FeatureGroup(group) => write!(f, "the feature group {group}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(changes: &[Change]) -> String {
        let mut flag = Flag::default();
        changes.iter().for_each(|change| change.apply(&mut flag));
        flag.to_string()
    }

    fn alice(on: bool) -> Change {
        Change::For(Target::Actor(GlobalId::of("User", 2)), on)
    }

    fn quarter() -> Change {
        Change::PercentageOfActors(Percentage::new(25.0).unwrap())
    }

    #[test]
    fn gates_are_opened_and_closed_one_by_one() {
        let team = |on| Change::For(Target::FeatureGroup("team".to_owned()), on);
        assert_eq!(after(&[alice(true), quarter()]), "on for 1 actor and 25 % of the users");
        assert_eq!(after(&[alice(true), quarter(), alice(false)]), "on for 25 % of the users");
        assert_eq!(after(&[team(true), alice(true), team(false)]), "on for 1 actor");
        assert_eq!(after(&[quarter(), Change::PercentageOfActors(Percentage::NONE)]), "off");
    }

    #[test]
    fn a_switch_for_everyone_closes_every_other_gate() {
        assert_eq!(after(&[alice(true), quarter(), Change::Everyone(false)]), "off");
        let on_and_off_for_one = [Change::Everyone(true), alice(false)];
        assert_eq!(after(&on_and_off_for_one), "on", "one cannot be shut out of what is on for all");
    }

    #[test]
    fn a_change_is_named_for_the_log() {
        let half = Change::PercentageOfTime(Percentage::new(0.5).unwrap());
        let all = [Change::Everyone(false), alice(true), quarter(), half].map(|change| change.to_string());
        assert_eq!(all, ["off", "on for User:2", "on for 25 % of the users", "on for 0.5 % of the time"]);
    }
}
