//! What opening or closing some gates of a flag means for everyone else, where that may surprise.

use crate::flags::{Change, Flag, Listed, Names, Origin, State};

/// What is to be said about `changes`, which made `after` of `before`.
pub(super) fn remark(before: &Listed, after: &Listed, changes: &[Change], names: &Names) -> Option<String> {
    if changes.iter().any(|change| matches!(change, Change::Everyone(_))) {
        return None;
    }
    if after.flag.as_ref().is_some_and(|flag| flag.boolean) {
        return Some(format!(
            "it is on for everyone, whatever its other gates: `duologue flags disable {}` switches it off, then \
             enable it for some",
            after.name
        ));
    }
    let was = was_on_for_all(before, names)?;
    let whom = match after.flag.as_ref().map(Flag::state)? {
        State::On => return None,
        State::Conditional => "everyone else",
        State::Off => "everyone",
    };
    let mend = match before.origin {
        // More than this was changed, and would be undone as well.
        Origin::Changed => format!("`duologue flags enable {}` switches it on again", after.name),
        Origin::File | Origin::Default => format!("`duologue flags delete {}` undoes this", after.name),
    };
    Some(format!("it was on {was} and is now off for {whom}; {mend}"))
}

/// How it was on for everyone, if it was. A flag that is set at all has no default any more.
fn was_on_for_all(before: &Listed, names: &Names) -> Option<&'static str> {
    match &before.flag {
        Some(flag) => (flag.state() == State::On).then_some("for everyone"),
        None => names
            .definition(&before.name)
            .is_some_and(|definition| definition.default_enabled)
            .then_some("by default"),
    }
}

#[cfg(test)]
mod tests {
    use duologue_actors::{action::Catalogue, protocol::GlobalId};

    use super::*;
    use crate::flags::{Percentage, Target};

    const SWITCH: &str = "ai_global_switch";

    fn listed(flag: Option<Flag>, origin: Origin) -> Listed {
        Listed { name: SWITCH.to_owned(), flag, origin }
    }

    fn said(before: Listed, after: Flag, change: Change) -> String {
        let names = Names::of(&Catalogue::new(Vec::new()));
        remark(&before, &listed(Some(after), Origin::Changed), &[change], &names).unwrap_or_default()
    }

    fn alice(on: bool) -> Change {
        Change::For(Target::Actor(GlobalId::of("User", 2)), on)
    }

    fn for_alice() -> Flag {
        Flag { actors: [GlobalId::of("User", 2)].into(), ..Flag::default() }
    }

    fn all_the_time() -> Flag {
        Flag { percentage_of_time: Percentage::ALL, ..Flag::default() }
    }

    #[test]
    fn narrowing_what_was_on_by_default_is_said_to_switch_it_off_for_others() {
        let unset = || listed(None, Origin::Default);
        assert_eq!(
            said(unset(), for_alice(), alice(true)),
            "it was on by default and is now off for everyone else; `duologue flags delete ai_global_switch` \
             undoes this"
        );
        let nobody = said(unset(), Flag::default(), alice(false));
        assert!(nobody.starts_with("it was on by default and is now off for everyone; "), "{nobody}");
        assert_eq!(said(unset(), all_the_time(), Change::PercentageOfTime(Percentage::ALL)), "");
        assert_eq!(said(unset(), Flag::everyone(false), Change::Everyone(false)), "", "as was asked for");
    }

    #[test]
    fn closing_the_gate_that_was_open_for_everyone_is_said_too() {
        let never = Change::PercentageOfTime(Percentage::NONE);
        let of_file = said(listed(Some(all_the_time()), Origin::File), for_alice(), never.clone());
        assert!(
            of_file.starts_with("it was on for everyone and is now off for everyone else; "),
            "{of_file}"
        );
        assert!(of_file.ends_with("flags delete ai_global_switch` undoes this"), "{of_file}");
        let changed = said(listed(Some(all_the_time()), Origin::Changed), for_alice(), never);
        assert!(changed.ends_with("flags enable ai_global_switch` switches it on again"), "{changed}");
    }

    #[test]
    fn what_was_off_stays_off_for_others_without_a_word() {
        assert_eq!(said(listed(Some(Flag::default()), Origin::File), for_alice(), alice(true)), "");
        let unset = Listed { name: "expanded_ai_logging".to_owned(), flag: None, origin: Origin::Default };
        assert_eq!(said(unset, for_alice(), alice(true)), "");
    }

    #[test]
    fn a_gate_that_makes_no_difference_is_said_to_make_none() {
        let on = || Flag::everyone(true);
        let note = said(listed(Some(on()), Origin::Changed), on(), alice(false));
        assert!(note.contains("`duologue flags disable ai_global_switch` switches it off"), "{note}");
        assert_eq!(said(listed(Some(on()), Origin::Changed), on(), Change::Everyone(true)), "");
    }
}
