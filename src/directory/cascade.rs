//! `duo_features_enabled` and its lock, from the instance down to a group or project.

use crate::config::DuoFeatures;

/// What one group or project says itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Own {
    /// `duo_features_enabled`; nothing said means: as it is above.
    pub enabled: Option<bool>,
    /// `lock_duo_features_enabled`: nothing below has a say.
    pub lock: bool,
}

/// Whether AI features are on at the end of a line of groups, the top-level one first: what the nearest of
/// them says, or the topmost one that locks. GitLab's documentation of GitLab Duo availability calls these
/// "on by default", "off by default" and, locked, "always off".
pub(super) fn duo_features_enabled(instance: DuoFeatures, line: impl IntoIterator<Item = Own>) -> bool {
    let (mut enabled, mut locked) = match instance {
        DuoFeatures::OnByDefault => (true, false),
        DuoFeatures::OffByDefault => (false, false),
        DuoFeatures::AlwaysOff => (false, true),
    };
    for own in line {
        if locked {
            break;
        }
        enabled = own.enabled.unwrap_or(enabled);
        locked = own.lock;
    }
    enabled
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ON: Own = Own { enabled: Some(true), lock: false };
    const OFF: Own = Own { enabled: Some(false), lock: false };
    const LOCKED_OFF: Own = Own { enabled: Some(false), lock: true };
    const LOCKED: Own = Own { enabled: None, lock: true };
    const SILENT: Own = Own { enabled: None, lock: false };

    #[rstest::rstest]
    #[case::nothing_said_is_as_above(DuoFeatures::OnByDefault, &[SILENT, SILENT], true)]
    #[case::the_nearest_word_counts(DuoFeatures::OnByDefault, &[OFF, ON, SILENT], true)]
    #[case::a_group_may_turn_on_what_is_off_by_default(DuoFeatures::OffByDefault, &[ON], true)]
    #[case::always_off_is_always_off(DuoFeatures::AlwaysOff, &[ON, ON], false)]
    #[case::below_a_lock_nobody_has_a_say(DuoFeatures::OnByDefault, &[LOCKED_OFF, ON], false)]
    #[case::a_lock_holds_what_comes_from_above(DuoFeatures::OffByDefault, &[LOCKED, ON], false)]
    #[case::a_lock_says_something_for_itself_too(DuoFeatures::OnByDefault, &[ON, LOCKED_OFF], false)]
    fn examples(#[case] instance: DuoFeatures, #[case] line: &[Own], #[case] expected: bool) {
        assert_eq!(duo_features_enabled(instance, line.iter().copied()), expected);
    }

    /// The rule as one would look it up by hand: find the topmost lock, forget what is below it, take the last
    /// word that is left.
    fn oracle(instance: DuoFeatures, line: &[Own]) -> bool {
        if instance == DuoFeatures::AlwaysOff {
            return false;
        }
        let heard = line.iter().position(|own| own.lock).map_or(line, |topmost| &line[..=topmost]);
        let words: Vec<bool> = heard.iter().filter_map(|own| own.enabled).collect();
        words.last().copied().unwrap_or(instance == DuoFeatures::OnByDefault)
    }

    fn any_own() -> impl Strategy<Value = Own> {
        (any::<Option<bool>>(), any::<bool>()).prop_map(|(enabled, lock)| Own { enabled, lock })
    }

    proptest! {
        #[test]
        fn the_cascade_is_what_one_would_look_up_by_hand(
            instance in prop_oneof![
                Just(DuoFeatures::OnByDefault), Just(DuoFeatures::OffByDefault), Just(DuoFeatures::AlwaysOff)
            ],
            line in prop::collection::vec(any_own(), 0..6),
        ) {
            prop_assert_eq!(duo_features_enabled(instance, line.iter().copied()), oracle(instance, &line));
        }
    }
}
