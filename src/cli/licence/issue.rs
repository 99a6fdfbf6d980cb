//! `duologue licence issue`: for those who sell licences, and for tests.

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, SystemTime},
};

use anyhow::{Context, bail};
use clap::{Args, builder::PossibleValuesParser};
use duologue_actors::clock::Clock;

use crate::{
    calendar,
    cli::output,
    config::Config,
    licence::{self, SigningKey, Terms, plans},
    private_file,
    unit_primitives::UnitPrimitives,
};

const A_DAY: Duration = Duration::from_secs(86_400);

#[derive(Debug, Args)]
pub struct Order {
    /// The private key to sign with
    #[arg(long, value_name = "PEM")]
    key: PathBuf,
    /// Whom the licence is for
    #[arg(long, value_name = "NAME")]
    licensee: String,
    #[arg(long, value_parser = PossibleValuesParser::new(plans::names()))]
    plan: String,
    /// What is bought beside the plan, such as duo_pro; may be given several times
    #[arg(long = "add-on", value_name = "NAME")]
    add_ons: Vec<String>,
    /// A licensed feature beyond the plan; may be given several times
    #[arg(long = "feature", value_name = "NAME")]
    features: Vec<String>,
    /// The first day, from its beginning in UTC, such as 2027-01-01 [default: now]
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<SystemTime>,
    /// How many days it is good for
    #[arg(long, value_name = "N", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_525))]
    days: u32,
    /// The last day, to its end in UTC, in the place of --days
    #[arg(long, value_name = "DATE", value_parser = date, conflicts_with = "days")]
    until: Option<SystemTime>,
    /// Write it to this file [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) fn run(order: &Order, config: &Config) -> anyhow::Result<ExitCode> {
    let key =
        SigningKey::read(&order.key).map_err(|error| anyhow::anyhow!("{} {error}", order.key.display()))?;
    let now = Clock::system().now();
    let text = licence::issue(terms(order, now)?, now, &key)?;
    remark_on_add_ons(&order.add_ons, config);
    let Some(out) = &order.out else {
        output::line(text)?;
        return Ok(ExitCode::SUCCESS);
    };
    private_file::put(out, &format!("{text}\n"))
        .with_context(|| format!("cannot write {}", out.display()))?;
    output::line(licence::verify(&text, key.public())?)?;
    output::line(format_args!("\nfile        {}", out.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn terms(order: &Order, now: SystemTime) -> anyhow::Result<Terms> {
    let Some(plan) = plans::named(&order.plan) else {
        bail!("unknown plan `{}`; known: {}", order.plan, plans::names().collect::<Vec<_>>().join(", "));
    };
    let starts_at = order.from.unwrap_or(now);
    // Its last second is the one that people see.
    let ends_at = match order.until {
        Some(last_day) => last_day + A_DAY - Duration::from_secs(1),
        None => starts_at + A_DAY * order.days,
    };
    if ends_at <= starts_at {
        bail!(
            "it would end at {}, before it begins at {}; mend --until or --from",
            calendar::show(ends_at),
            calendar::show(starts_at)
        );
    }
    Ok(Terms {
        licensee: order.licensee.clone(),
        plan,
        add_ons: order.add_ons.clone(),
        features: order.features.clone(),
        starts_at,
        ends_at,
    })
}

/// An add-on that no unit primitive asks for may be for a later version, or a slip.
fn remark_on_add_ons(add_ons: &[String], config: &Config) {
    let Ok(all) = UnitPrimitives::load(&config.unit_primitives.path) else { return };
    for add_on in add_ons {
        if !all.iter().any(|(_, primitive)| primitive.add_ons.contains(add_on)) {
            output::remark(format_args!("no unit primitive here comes with the add-on {add_on}"));
        }
    }
}

fn date(text: &str) -> Result<SystemTime, String> {
    calendar::parse(text).ok_or_else(|| "write a date such as 2027-01-31".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        order: Order,
    }

    fn order(arguments: &[&str]) -> Result<Order, clap::Error> {
        let usual = ["issue", "--key", "k.pem", "--licensee", "ACME", "--plan", "ultimate"];
        Line::try_parse_from(usual.iter().chain(arguments)).map(|line| line.order)
    }

    fn days(arguments: &[&str]) -> (String, String) {
        let now = calendar::parse("2026-05-04 12:00:00 UTC").unwrap();
        let terms = terms(&order(arguments).unwrap(), now).unwrap();
        (calendar::show(terms.starts_at), calendar::show(terms.ends_at))
    }

    #[test]
    fn a_licence_is_good_from_now_for_a_year_unless_told_otherwise() {
        let said = |from: &str, until: &str| (from.to_owned(), until.to_owned());
        assert_eq!(days(&[]), said("2026-05-04 12:00:00 UTC", "2027-05-04 12:00:00 UTC"));
        assert_eq!(days(&["--days", "30"]), said("2026-05-04 12:00:00 UTC", "2026-06-03 12:00:00 UTC"));
        let whole_days = days(&["--from", "2027-01-01", "--until", "2027-12-31"]);
        assert_eq!(whole_days, said("2027-01-01 00:00:00 UTC", "2027-12-31 23:59:59 UTC"));
    }

    #[test]
    fn an_end_before_the_beginning_is_refused_with_both() {
        let now = calendar::parse("2026-05-04").unwrap();
        let error = terms(&order(&["--until", "2026-05-03"]).unwrap(), now).unwrap_err().to_string();
        assert!(
            error.contains("2026-05-03 23:59:59 UTC, before it begins at 2026-05-04 00:00:00 UTC"),
            "{error}"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_at_the_command_line() {
        let refused = |arguments: &[&str]| order(arguments).unwrap_err().to_string();
        assert!(refused(&["--until", "tomorrow"]).contains("write a date such as 2027-01-31"));
        assert!(refused(&["--days", "0"]).contains("--days"));
        assert!(refused(&["--days", "7", "--until", "2027-01-01"]).contains("cannot be used with"));
        let plan = Line::try_parse_from(["issue", "--key", "k", "--licensee", "A", "--plan", "gold"]);
        assert!(plan.unwrap_err().to_string().contains("free, premium, ultimate"));
    }
}
