use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use duologue_harness::chaos::{self, Plan, Run, ledger};
use tokio::signal::unix::{SignalKind, signal};

/// The repository this was built from.
const REPOSITORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Mistreats real servers under load and judges whether anything that was accepted was lost.
///
/// Each run prints its seed first, then one line a check, then `N passed, N failed`. Ends with 1 when a check
/// failed; what the ledger was told, and the server's log and data, are kept then. docs/chaos.md says what each run
/// shows.
#[derive(Debug, Parser)]
#[command(name = "chaos", args_conflicts_with_subcommands = true, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    hidden: Option<Hidden>,

    /// What to do to the server, one after the other [default: all]
    runs: Vec<Run>,

    /// The server's binary
    #[arg(long, value_name = "PATH", default_value = "target/debug/duologue")]
    server: PathBuf,

    /// The same server with an inspector that panics when told to (the example `faulty`)
    #[arg(long, value_name = "PATH", default_value = "target/debug/examples/faulty")]
    faulty: PathBuf,

    /// Fixes everything that is random [default: another one each time]
    #[arg(long)]
    seed: Option<u64>,

    /// Less of everything; figures of time are shown and decide nothing
    #[arg(long)]
    short: bool,

    /// How often, for runs that repeat what they do
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    cycles: Option<u32>,

    /// How long, for runs that last
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// Keeps and judges the facts that come on standard input
    #[command(name = ledger::SUBCOMMAND, hide = true)]
    Ledger { file: PathBuf },
}

fn main() -> ExitCode {
    run(Arguments::parse()).unwrap_or_else(|error| {
        // Without a standard error there is nobody to tell.
        let _ = writeln!(io::stderr().lock(), "error: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    if let Some(Hidden::Ledger { file }) = &arguments.hidden {
        let judgement = ledger::keep(io::stdin().lock(), file)?;
        serde_json::to_writer(io::stdout().lock(), &judgement)?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = tokio::runtime::Runtime::new()?;
    let holds = runtime.block_on(until_stopped(arguments))?;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Performs the runs; a signal ends them, and with them the processes they started.
async fn until_stopped(arguments: Arguments) -> Result<bool> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let plan = plan(&arguments)?;
    let runs = if arguments.runs.is_empty() { Run::value_variants() } else { &arguments.runs };
    tokio::select! {
        performed = chaos::perform(runs, &plan) => performed,
        _ = interrupt.recv() => stopped(),
        _ = terminate.recv() => stopped(),
    }
}

fn stopped() -> Result<bool> {
    writeln!(io::stderr().lock(), "stopped before the end")?;
    Ok(false)
}

fn plan(arguments: &Arguments) -> Result<Plan> {
    let Arguments { server, faulty, seed, short, cycles, seconds, .. } = arguments;
    let found =
        |path: &PathBuf| path.canonicalize().with_context(|| format!("there is no {}", path.display()));
    Ok(Plan {
        server: found(server)?,
        faulty: found(faulty)?,
        repository: REPOSITORY.into(),
        // Short enough to be typed again.
        seed: seed.unwrap_or_else(|| fastrand::u64(..1_000_000)),
        is_short: *short,
        cycles: *cycles,
        seconds: *seconds,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_run_is_asked_for_by_its_name() {
        for run in Run::value_variants() {
            let arguments = Arguments::try_parse_from(["chaos", "--short", run.name()]).unwrap();
            assert_eq!((arguments.runs, arguments.short), (vec![*run], true));
        }
    }
}
