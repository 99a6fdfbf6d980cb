//! Moments as RFC 3339 text in UTC with milliseconds: `2026-08-21T10:15:30.125Z`.

use std::time::{SystemTime, UNIX_EPOCH};

const SECONDS_A_DAY: u64 = 86_400;

/// Writes a moment. What lies before 1970 is written as 1970: nothing here is that old.
#[must_use]
pub fn rfc3339(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    let (days, second) = (since.as_secs() / SECONDS_A_DAY, since.as_secs() % SECONDS_A_DAY);
    let (year, month, day) = date(days);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    let milliseconds = since.subsec_millis();
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Whether `text` has the form this server writes.
#[must_use]
pub fn is_rfc3339(text: &str) -> bool {
    const FORM: &str = "0000-00-00T00:00:00.000Z";
    text.len() == FORM.len()
        && text.chars().zip(FORM.chars()).all(|(letter, form)| match form {
            '0' => letter.is_ascii_digit(),
            form => letter == form,
        })
}

/// Year, month and day of the day `days` after 1970-01-01, by Howard Hinnant's `civil_from_days`: years
/// begin in March, so that the leap day is a year's last, and 400 years are 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
