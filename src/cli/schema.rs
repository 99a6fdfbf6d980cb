//! `duologue schema`: the GraphQL schema of this catalogue, in GraphQL's own language.

use std::process::ExitCode;

use super::{actions, output};
use crate::{config::Config, graphql};

/// Prints the schema.
///
/// # Errors
/// Everything that is wrong in the catalogue.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let catalogue = actions::load(config)?;
    output::piece(&graphql::sdl(&catalogue)?)?;
    Ok(ExitCode::SUCCESS)
}
