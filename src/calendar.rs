//! Dates and times as people write them in files and read them on a terminal; always in UTC.

use std::time::{Duration, SystemTime};

use time::{
    Date, OffsetDateTime, PrimitiveDateTime, format_description::BorrowedFormatItem,
    macros::format_description,
};

type Format = &'static [BorrowedFormatItem<'static>];

const DATE: Format = format_description!("[year]-[month]-[day]");
const SHOWN: Format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");
const ISO: Format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// The moment `text` names: `2027-01-31` (its beginning), `2027-01-31 12:00:00 UTC` or
/// `2027-01-31T12:00:00Z`. Nothing before 1970.
#[must_use]
pub fn parse(text: &str) -> Option<SystemTime> {
    let moment = Date::parse(text, DATE)
        .map(Date::midnight)
        .or_else(|_| PrimitiveDateTime::parse(text, SHOWN))
        .or_else(|_| PrimitiveDateTime::parse(text, ISO))
        .ok()?;
    let second = u64::try_from(moment.assume_utc().unix_timestamp()).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(second))
}

/// `2027-01-31 12:00:00 UTC`. What lies before 1970 is shown as 1970, what lies after 9999 as that year's end.
#[must_use]
pub fn show(moment: SystemTime) -> String {
    utc(moment).format(SHOWN).unwrap_or_default()
}

/// The moment as a date and time; the nearest one there is a date for.
#[must_use]
pub fn utc(moment: SystemTime) -> OffsetDateTime {
    let since = moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let nanoseconds = i128::try_from(since.as_nanos()).unwrap_or(i128::MAX);
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(PrimitiveDateTime::MAX.assume_utc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[rstest::rstest]
    #[case("1970-01-01", 0)]
    #[case("2000-02-29", 951_782_400)]
    #[case("2025-01-01", 1_735_689_600)]
    #[case("2100-03-01 00:00:00 UTC", 4_107_542_400)]
    #[case("2024-02-29T23:59:59Z", 1_709_251_199)]
    fn a_moment_is_what_the_calendar_says(#[case] text: &str, #[case] second: u64) {
        assert_eq!(parse(text), Some(SystemTime::UNIX_EPOCH + Duration::from_secs(second)));
    }

    #[rstest::rstest]
    #[case("")]
    #[case("2027")]
    #[case("2027-1-1")]
    #[case("2027-02-29")]
    #[case("2100-02-29")]
    #[case("2027-13-01")]
    #[case("2027-00-10")]
    #[case("2027-04-31")]
    #[case("1969-12-31")]
    #[case("2027-01-01 12:00:00")]
    #[case("2027-01-01 24:00:00 UTC")]
    #[case("2027-01-01T12:00Z")]
    #[case("2027-01-01-01")]
    #[case("+027-01-01")]
    fn what_is_no_date_is_refused(#[case] text: &str) {
        assert_eq!(parse(text), None);
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same_moment(second in 0_u64..253_402_300_800) {
            let moment = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            prop_assert_eq!(parse(&show(moment)), Some(moment));
        }
    }
}
