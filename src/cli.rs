//! The command line: what it takes, and one file for each thing it does.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub mod actions;
pub mod ask;
pub mod check;
mod choice;
pub mod complete;
pub mod embed;
pub mod flags;
pub mod licence;
mod lookup;
pub mod messages;
mod model_faults;
pub mod models;
pub mod output;
pub mod policy;
pub mod providers;
pub mod requests;
pub mod schema;
pub mod serve;
pub mod setup;
mod signals;
pub mod store;

/// Options that every subcommand takes come after its own.
const LAST: usize = 900;

/// Duologue puts AI features into a product: clients name an action and get its answer streamed back.
///
/// Without a subcommand it serves. Settings come from --config, else ./config.yaml, else the defaults
/// inside the binary; a variable such as DUOLOGUE__SERVER__LISTEN wins over all of them.
#[derive(Debug, Parser)]
#[command(name = "duologue", version, max_term_width = 100)]
pub struct Arguments {
    /// The configuration file [default: ./config.yaml if there is one]
    #[arg(long, global = true, value_name = "PATH", display_order = LAST)]
    pub config: Option<PathBuf>,

    /// A file of NAME=value lines for variables that are not set [default: ./.env if there is one]
    #[arg(long, global = true, value_name = "PATH", display_order = LAST)]
    pub env_file: Option<PathBuf>,

    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve HTTP and websocket clients until told to stop (the default)
    Serve,
    /// Ask one question and print the answer as it streams
    ///
    /// Uses the server at the configured address when one answers there, else serves inside this process
    /// until the answer is complete. Ctrl-C cancels the request. The answer goes to standard output,
    /// everything about it to standard error.
    Ask(ask::Question),
    /// Make a group in which AI features work, with a project and a user to try them with
    ///
    /// Makes what is missing, completes what is there, and says of everything else that is needed whether it is
    /// right, and how to mend it. Can be run again: what is right already is left alone. Writes only the file
    /// at directory.additions.
    Setup(setup::Setup),
    /// Talk to a model by hand: no server, no login, no action
    ///
    /// Asks a provider of the configuration as the server would, with its bounds, retries and fallbacks. The answer
    /// goes to standard output as it comes, everything about it to standard error. Ctrl-C ends the call.
    Complete(complete::Complete),
    /// Turn a text into a vector, as a search by meaning needs it
    ///
    /// Asks the embedding model of a provider; vertex_ai has one. Prints the first few numbers, or with --json the
    /// whole vector on one line.
    Embed(embed::Embed),
    /// List the models of the configuration, and how they are in the server that runs
    ///
    /// Shows what the server at the configured address has, else what is configured here and whether it is set up.
    /// CONTEXT and OUTPUT are the tokens of a prompt with its answer and of an answer alone, CONCURRENCY the calls
    /// under way at once; prices are US dollars for a million tokens. In STATE, a closed breaker lets calls through,
    /// an open one does not for so long, because calls failed; a half-open one lets one call try. The lines below say
    /// which model each feature setting stands for, and in brackets why not those before it.
    Models {
        /// Print JSON instead
        #[arg(long)]
        json: bool,
    },
    /// List the providers of models, or test one
    ///
    /// A provider is where models are asked; config.yaml explains what each kind needs. KEY is a name of the key in
    /// use, made from its hash, by which logs name it too; the key itself is shown nowhere.
    Providers {
        #[command(subcommand)]
        task: Option<providers::Task>,
    },
    /// Check the configuration, the models, the catalogue, the directory, the flags and the licence
    ///
    /// Reads all that a start would read, starts nothing and asks nobody: `duologue providers test` asks a provider.
    /// Prints a line for each part that is right and every mistake of the others, and then ends with 1.
    Check,
    /// Print the GraphQL schema
    Schema,
    /// List the actions of the catalogue
    Actions,
    /// List feature flags, and switch them on and off while the server runs
    Flags {
        #[command(subcommand)]
        task: flags::Task,
    },
    /// Explain what the six checks find
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Print a user's conversation, oldest message first
    ///
    /// For whoever runs the server: it shows what was asked and what was answered. A server may be running.
    Messages(messages::Messages),
    /// List the requests in the journal: those under way, and those that ended lately
    ///
    /// Shows whose they are and how they are, not what was asked or answered. A server may be running.
    Requests(requests::Requests),
    /// Verify what is kept, or copy it
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Install, show, verify and issue licences
    #[command(subcommand)]
    Licence(licence::LicenceCommand),
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
    fn no_subcommand_means_the_default() {
        let arguments = Arguments::try_parse_from(["duologue", "--config", "c.yaml"]).unwrap();
        assert!(arguments.command.is_none());
        assert_eq!(arguments.config, Some("c.yaml".into()));
    }

    #[test]
    fn a_question_takes_an_action_a_resource_and_inputs() {
        let arguments = Arguments::try_parse_from([
            "duologue",
            "ask",
            "why?",
            "--action",
            "explain_code",
            "--resource",
            "gid://gitlab/Issue/52",
            "--input",
            "code=let x = 1;",
            "--json",
            "--env-file",
            "env.runit",
        ])
        .unwrap();
        assert_eq!(arguments.env_file, Some("env.runit".into()));
        let Some(Command::Ask(question)) = arguments.command else { panic!("not ask") };
        assert_eq!(question.text.as_deref(), Some("why?"));
        assert_eq!(question.action, "explain_code");
        assert_eq!(question.resource.unwrap().to_string(), "gid://gitlab/Issue/52");
        assert_eq!(question.inputs, [("code".to_owned(), "let x = 1;".to_owned())]);
        assert!(question.json);
    }

    #[test]
    fn chat_is_asked_by_default() {
        let arguments = Arguments::try_parse_from(["duologue", "ask", "why?"]).unwrap();
        let Some(Command::Ask(question)) = arguments.command else { panic!("not ask") };
        assert_eq!((question.action.as_str(), question.json), ("chat", false));
    }

    #[test]
    fn a_malformed_resource_or_input_is_refused_with_the_right_form() {
        let refused = |arguments: &[&str]| {
            let all = ["duologue", "ask", "why?"].iter().chain(arguments).copied();
            Arguments::try_parse_from(all).unwrap_err().to_string()
        };
        assert!(refused(&["--resource", "Issue/52"]).contains("gid://gitlab/Issue/52"));
        assert!(refused(&["--input", "code"]).contains("KEY=VALUE"));
    }
}
