use std::process::ExitCode;

use clap::Parser;
use duologue::{
    cli::{self, Arguments, Command, output},
    config::Config,
    env_file::Environment,
};

fn main() -> ExitCode {
    let Arguments { config, env_file, command } = Arguments::parse();
    let environment = match Environment::load(env_file.as_deref()) {
        Ok(environment) => environment,
        Err(faults) => return output::failed(&faults),
    };
    let loaded = match Config::load(config.as_deref(), &environment) {
        Ok(loaded) => loaded,
        Err(faults) => return output::failed(&faults),
    };
    let outcome = match command.unwrap_or(Command::Serve) {
        Command::Serve => cli::serve::run(&loaded),
        Command::Ask(question) => cli::ask::run(&question, &loaded.config, &environment),
        Command::Setup(setup) => cli::setup::run(&setup, &loaded, env_file.as_deref()),
        Command::Complete(asked) => cli::complete::run(&asked, &loaded.config),
        Command::Embed(asked) => cli::embed::run(&asked, &loaded.config),
        Command::Models { json } => cli::models::run(json, &loaded.config),
        Command::Providers { task } => cli::providers::run(task.as_ref(), &loaded.config),
        Command::Check => cli::check::run(&loaded),
        Command::Schema => cli::schema::run(&loaded.config),
        Command::Actions => cli::actions::run(&loaded.config),
        Command::Flags { task } => cli::flags::run(&task, &loaded.config),
        Command::Policy(command) => cli::policy::run(&command, &loaded.config, &environment),
        Command::Messages(asked) => cli::messages::run(&asked, &loaded.config),
        Command::Requests(asked) => cli::requests::run(&asked, &loaded.config),
        Command::Store(command) => cli::store::run(&command, &loaded.config),
        Command::Licence(command) => cli::licence::run(&command, &loaded.config),
    };
    outcome.unwrap_or_else(|error| output::ended_by(&error))
}
