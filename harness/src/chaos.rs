//! Chaos: real servers are killed, stopped, made to panic, starved and overrun under load, and a ledger in a
//! process of its own says whether anything that was accepted was lost, ended twice, or reached somebody else.
//!
//! | question | file |
//! |---|---|
//! | what is done to the server, and what must hold then | one file a run: `kill9`, `term`, `panic`, `disk`, `redis`, `isolation`, `overload`, `stalled` |
//! | what is noted | [`fact`] |
//! | what is wrong with what was noted | [`judge`] |
//! | who notes it | [`ledger`] |
//! | who asks and listens | `client`, `listener`, `load`, `page`; once more at the end `audit` |
//! | who is asked upstream | `upstream` |
//! | what a run is set up with | `stage`, `place`, `subject` |
//! | what a run tells | [`report`] |

use std::path::PathBuf;

use anyhow::{Context, Result};

mod audit;
mod client;
mod disk;
pub mod fact;
mod isolation;
pub mod judge;
mod kill9;
pub mod ledger;
mod listener;
mod load;
mod overload;
mod page;
mod panic;
mod place;
mod redis;
pub mod report;
mod stage;
mod stalled;
mod subject;
mod term;
mod upstream;

use report::{Report, say};

/// File descriptors a run may need: a thousand users have three sockets each, seen from here.
const FILE_DESCRIPTORS: u64 = 16_384;

/// What is to be run, and with what.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server's binary.
    pub server: PathBuf,
    /// The same server, which panics when told to.
    pub faulty: PathBuf,
    /// Where `catalogue/` is.
    pub repository: PathBuf,
    /// Fixes everything that is random.
    pub seed: u64,
    /// Less of everything, and no figure of time decides: the machine may be busy with something else.
    pub is_short: bool,
    /// How often, where a run repeats what it does.
    pub cycles: Option<u32>,
    /// How long, where a run lasts.
    pub seconds: Option<u64>,
}

impl Plan {
    /// How often something is done: as asked for, else as (short, whole) says.
    fn cycles(&self, (short, whole): (u32, u32)) -> u32 {
        self.cycles.unwrap_or(if self.is_short { short } else { whole })
    }

    /// How long something is done, in seconds.
    fn seconds(&self, (short, whole): (u64, u64)) -> u64 {
        self.seconds.unwrap_or(if self.is_short { short } else { whole })
    }

    /// Chance, the same for each run of a seed.
    fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }
}

/// One thing that is done to a server; all of them are run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Run {
    /// Kills the process again and again
    Kill9,
    /// Asks the process to end again and again
    Term,
    /// Lets each actor panic, and then one of them too often
    Panic,
    /// Fills the store
    Disk,
    /// Takes Redis away
    Redis,
    /// Lets a thousand users ask alike, cancel, and listen to each other
    Isolation,
    /// Sends ten times as many requests as there is room for
    Overload,
    /// Opens a thousand sockets and lets a tenth of them never read
    Stalled,
}

impl Run {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill9 => "kill9",
            Self::Term => "term",
            Self::Panic => "panic",
            Self::Disk => "disk",
            Self::Redis => "redis",
            Self::Isolation => "isolation",
            Self::Overload => "overload",
            Self::Stalled => "stalled",
        }
    }

    /// How much of it the plan asks for.
    fn extent(self, plan: &Plan) -> String {
        match self {
            Self::Kill9 => format!("{} cycles", plan.cycles(kill9::CYCLES)),
            Self::Term => format!("{} cycles", plan.cycles(term::CYCLES)),
            Self::Panic => format!("{} cycles", plan.cycles(panic::CYCLES)),
            Self::Disk => format!("{} cycles", plan.cycles(disk::CYCLES)),
            Self::Redis => format!("3 times {} seconds", plan.seconds(redis::SECONDS)),
            Self::Isolation => {
                format!("{} users, {} cycles", isolation::USERS, plan.cycles(isolation::CYCLES))
            }
            Self::Overload => format!("{} seconds", plan.seconds(overload::SECONDS)),
            Self::Stalled => format!("2 times {} seconds", plan.seconds(stalled::SECONDS)),
        }
    }

    async fn perform(self, plan: &Plan, report: &mut Report) -> Result<()> {
        match self {
            Self::Kill9 => kill9::run(plan, report).await,
            Self::Term => term::run(plan, report).await,
            Self::Panic => panic::run(plan, report).await,
            Self::Disk => disk::run(plan, report).await,
            Self::Redis => redis::run(plan, report).await,
            Self::Isolation => isolation::run(plan, report).await,
            Self::Overload => overload::run(plan, report).await,
            Self::Stalled => stalled::run(plan, report).await,
        }
    }
}

/// Performs `runs` one after the other; whether everything held.
///
/// # Errors
/// When a run cannot be performed: there is no telling then whether anything holds.
pub async fn perform(runs: &[Run], plan: &Plan) -> Result<bool> {
    rlimit::increase_nofile_limit(FILE_DESCRIPTORS).context("no more files can be open")?;
    let mut whole = Report::new(!plan.is_short);
    for run in runs {
        let name = run.name();
        say(format_args!(
            "{name}: seed {}, {}; replay with: {}",
            plan.seed,
            run.extent(plan),
            replay(*run, plan)
        ));
        let mut report = Report::new(!plan.is_short);
        run.perform(plan, &mut report)
            .await
            .with_context(|| format!("{name} could not be run to its end"))?;
        report.end(name);
        whole.add(&report);
    }
    whole.end("chaos");
    Ok(whole.is_clean())
}

/// The command that does the same again.
fn replay(run: Run, plan: &Plan) -> String {
    let mut command = format!("chaos --server {} --faulty {}", plan.server.display(), plan.faulty.display());
    command += &format!(" --seed {}", plan.seed);
    if plan.is_short {
        command += " --short";
    }
    if let Some(cycles) = plan.cycles {
        command += &format!(" --cycles {cycles}");
    }
    if let Some(seconds) = plan.seconds {
        command += &format!(" --seconds {seconds}");
    }
    command + " " + run.name()
}
