//! What a run tells: progress while it goes, one line a check, and how many of them held.

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
    time::Duration,
};

use super::judge::Judgement;

/// Of a long list of faults, as many as are shown; the ledger's file has them all.
const SHOWN: usize = 10;

/// What was found out so far, in one run or in several.
#[derive(Debug, Default)]
pub struct Report {
    passed: usize,
    failed: usize,
    /// Whether figures of time decide anything: they do not where the machine is not the run's own.
    judges_times: bool,
}

impl Report {
    #[must_use]
    pub fn new(judges_times: bool) -> Self {
        Self { passed: 0, failed: 0, judges_times }
    }

    /// One check.
    pub fn check(&mut self, holds: bool, what: impl Display) {
        if holds {
            self.passed += 1;
            say(format_args!("ok      {what}"));
        } else {
            self.failed += 1;
            say(format_args!("FAILED  {what}"));
        }
    }

    /// One check of something that must not be: passes when `faults` is empty, shows some of them else.
    pub fn none(&mut self, faults: &[String], what: impl Display) {
        self.check(faults.is_empty(), format_args!("{} {what}", faults.len()));
        for fault in faults.iter().take(SHOWN) {
            say(format_args!("        {fault}"));
        }
    }

    /// A figure of time and its bound.
    pub fn time(&mut self, took: Duration, bound: Duration, what: impl Display) {
        let figure =
            format!("{what}: {:.1} ms, bound {} ms", took.as_secs_f64() * 1_000.0, bound.as_millis());
        if self.judges_times {
            self.check(took <= bound, figure);
        } else {
            say(format_args!("        {figure} (not judged in the short form)"));
        }
    }

    /// What must hold whatever was done to the server.
    pub fn nothing_accepted_is_lost(&mut self, judgement: &Judgement) {
        let Judgement { intended, unsent, accepted, unanswered, outcomes, refused, .. } = judgement;
        say(format_args!(
            "        {} sent, {accepted} accepted, {unanswered} without a reply; refused: {}; ended: {}",
            intended - unsent,
            listed(refused),
            listed(outcomes)
        ));
        self.check(*accepted > 0, "some requests were accepted");
        self.none(&judgement.lost, format_args!("accepted requests lost (of {accepted})"));
        self.none(&judgement.second_finals, "requests ended in more than one way");
        self.none(&judgement.disordered, "holes, repetitions or messages after the final");
        self.none(&judgement.hung, "hung subscribers");
        self.none(&judgement.foreign, "foreign canaries or messages");
        self.none(
            &judgement.called_too_often,
            "requests called upstream more often than interruptions explain",
        );
    }

    /// What must hold where the server ended with requests in flight.
    pub fn recovered(&mut self, judgement: &Judgement, within: Duration) {
        let (repeats, open) = (judgement.upstream_repeats, judgement.in_flight_at_ends);
        self.check(open > 0, format_args!("{open} requests were in flight when the server ended"));
        self.check(repeats <= open, format_args!("{repeats} upstream repeats, no more than were in flight"));
        let slowest = Duration::from_millis(judgement.slowest_recovery_milliseconds);
        let bound = within.as_secs();
        self.check(
            slowest <= within,
            format_args!("all ended within {slowest:?} of a restart, bound {bound} s"),
        );
    }

    /// Adds what another run found out.
    pub fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }

    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed == 0
    }

    /// The last line of a run, or of all of them.
    pub fn end(&self, of: &str) {
        say(format_args!("{of}: {} passed, {} failed", self.passed, self.failed));
    }
}

/// Where everything is that a failed run was told.
pub fn kept(folder: &Path) {
    say(format_args!("        kept for a look: {} (facts.jsonl, stderr.log, data/)", folder.display()));
}

/// The time within which so many of 100 were; none at all counts as no time.
#[must_use]
pub fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}

/// One line on standard output.
pub fn say(line: impl Display) {
    // Nobody who reads it is no reason to end a run.
    let _ = writeln!(io::stdout().lock(), "{line}");
}

fn listed<'m>(counts: impl IntoIterator<Item = (&'m String, &'m u64)>) -> String {
    let parts: Vec<String> = counts.into_iter().map(|(what, count)| format!("{count} {what}")).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Duration = Duration::from_millis(2);
    const BOUND: Duration = Duration::from_millis(1);

    #[test]
    fn a_fault_fails_the_report_and_the_whole_of_several() {
        let (mut whole, mut clean, mut faulty) = (Report::new(true), Report::new(true), Report::new(true));
        clean.none(&[], "lost");
        faulty.none(&["r".to_owned()], "lost");
        whole.add(&clean);
        assert!(whole.is_clean());
        whole.add(&faulty);
        assert!(!whole.is_clean());
        assert_eq!((whole.passed, whole.failed), (1, 1));
    }

    #[test]
    fn a_percentile_is_the_time_within_which_so_many_were() {
        let times: Vec<Duration> = (1..=200).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 99), Duration::from_millis(198));
        assert_eq!(percentile(&times, 100), Duration::from_millis(200));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn times_decide_only_where_they_are_judged() {
        let (mut judged, mut shown) = (Report::new(true), Report::new(false));
        judged.time(SLOW, BOUND, "restart");
        shown.time(SLOW, BOUND, "restart");
        assert_eq!((judged.is_clean(), shown.is_clean()), (false, true));
    }

    #[test]
    fn a_run_in_which_nothing_was_accepted_shows_nothing() {
        let mut report = Report::new(true);
        report.nothing_accepted_is_lost(&Judgement::default());
        assert!(!report.is_clean());
    }
}
