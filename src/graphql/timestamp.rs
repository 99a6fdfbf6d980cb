//! Moments as RFC 3339 text in UTC with milliseconds: `2026-08-21T10:15:30.125Z`.

use std::time::SystemTime;

use time::{PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

use crate::calendar;

const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Writes a moment. What lies before 1970 is written as 1970: nothing here is that old.
#[must_use]
pub fn rfc3339(moment: SystemTime) -> String {
    calendar::utc(moment).format(FORM).unwrap_or_default()
}

/// Whether `text` has the form this server writes.
#[must_use]
pub fn is_rfc3339(text: &str) -> bool {
    PrimitiveDateTime::parse(text, FORM).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[rstest::rstest]
    #[case(0, "1970-01-01T00:00:00.000Z")]
    #[case(951_782_399_999, "2000-02-28T23:59:59.999Z")]
    #[case(951_782_400_000, "2000-02-29T00:00:00.000Z")]
    #[case(1_709_251_199_000, "2024-02-29T23:59:59.000Z")]
    #[case(1_735_689_600_000, "2025-01-01T00:00:00.000Z")]
    #[case(4_107_542_400_000, "2100-03-01T00:00:00.000Z")]
    fn a_moment_is_written_as_the_calendar_has_it(#[case] milliseconds: u64, #[case] text: &str) {
        let moment = UNIX_EPOCH + Duration::from_millis(milliseconds);
        assert_eq!(rfc3339(moment), text);
        assert!(is_rfc3339(text));
    }

    #[test]
    fn another_form_is_not_taken_for_ours() {
        assert!(!is_rfc3339("2024-02-29 23:59:59"));
        assert!(!is_rfc3339("2024-02-29T23:59:59.0000"));
    }
}
