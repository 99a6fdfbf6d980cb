//! `duologue policy explain`: what each of the six checks would find for a user, an action and a resource,
//! by the same functions that decide requests. Nothing is asked of a model and nothing is written.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use duologue_actors::{
    policy::{self, Explanation, checks::Inquiry},
    ports::{Caller, Credentials, FlagSource, ResourceName, Scope, TokenVerifier, User},
    protocol::{Failure, GlobalId},
};
use serde_json::json;

use super::{ask::TOKEN_VARIABLE, output};
use crate::{
    config::{Config, DirectorySource},
    env_file::Environment,
    offer::Offer,
    people::People,
};

/// Ends a run that found the request to be refused: for scripts that ask.
const REFUSED: u8 = 3;

#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Print what each of the six checks finds, with the facts it goes by
    ///
    /// Reads the configuration, the directory, the flags and the licence as a server would; none needs to
    /// run. Ends with 0 when the request would be let through, with 3 when it would be refused. With
    /// `directory.source: gitlab` the token of the user is needed, in DUOLOGUE_TOKEN.
    Explain(Inquired),
}

#[derive(Debug, Args)]
pub struct Inquired {
    /// The username of who asks
    #[arg(long, value_name = "USERNAME")]
    pub user: String,

    /// The action, by its name in the catalogue
    #[arg(long, default_value = "chat", value_name = "NAME")]
    pub action: String,

    /// What the request is about, e.g. gid://gitlab/Issue/52
    #[arg(long, value_name = "GLOBAL_ID")]
    pub resource: Option<GlobalId>,

    /// The project of a resource that is a commit, e.g. gid://gitlab/Project/20
    #[arg(long, value_name = "GLOBAL_ID", requires = "resource")]
    pub project: Option<GlobalId>,

    /// Print JSON instead
    #[arg(long)]
    pub json: bool,
}

/// # Errors
/// When there is no such user or action, or the directory does not answer.
pub fn run(command: &PolicyCommand, config: &Config, environment: &Environment) -> anyhow::Result<ExitCode> {
    let PolicyCommand::Explain(inquired) = command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let explained = runtime.block_on(explain(inquired, config, environment))?;
    let report = if inquired.json {
        serde_json::to_string_pretty(&as_json(inquired, &explained))?
    } else {
        as_text(inquired, &explained)
    };
    output::line(report.trim_end())?;
    Ok(if explained.refusal().is_none() { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) })
}

/// What a request of a user would meet.
struct Explained {
    user: User,
    /// Why the token is not good for the action, which is looked at before the checks.
    too_narrow: Option<Failure>,
    checks: Explanation,
}

impl Explained {
    /// What the client would hear; `None` when the request would be let through.
    fn refusal(&self) -> Option<&Failure> {
        self.too_narrow.as_ref().or(self.checks.refusal.as_ref())
    }
}

async fn explain(
    inquired: &Inquired,
    config: &Config,
    environment: &Environment,
) -> anyhow::Result<Explained> {
    let offer = Offer::load(config)?;
    let action = offer.catalogue.get(&inquired.action).with_context(|| {
        let known: Vec<&str> = offer.catalogue.iter().map(|action| action.name.as_str()).collect();
        format!("there is no action {:?}; there are {}", inquired.action, known.join(", "))
    })?;
    let people = People::load(config)?;
    let (caller, scope) = caller(inquired, &people, config, environment).await?;
    let flags = offer.flags.snapshot();
    let name = inquired.resource.clone().map(|id| ResourceName { id, project: inquired.project.clone() });
    let inquiry = Inquiry { action: &action, user: &caller.user, flags: &*flags, licences: &*offer.licences };
    let checks = policy::explain(inquiry, &*people.directory, &caller, name.as_ref())
        .await
        .with_context(|| format!("the checks cannot be made{}", with_gitlab(config)))?;
    Ok(Explained { user: caller.user, too_narrow: scope.may_ask(&action).err(), checks })
}

/// The user, as the directory knows them; GitLab knows only whose token it is shown, and what that is good for.
async fn caller(
    inquired: &Inquired,
    people: &People,
    config: &Config,
    environment: &Environment,
) -> anyhow::Result<(Caller, Scope)> {
    if config.directory.source == DirectorySource::File {
        let Some(user) = people.user_named(&inquired.user) else {
            bail!("there is no user {:?} in {}", inquired.user, config.directory.path.display());
        };
        return Ok((Caller { user, credentials: None }, Scope::Everything));
    }
    let Some(token) = environment.get(TOKEN_VARIABLE) else {
        bail!("GitLab says what a user may do to the user only: put their token into {TOKEN_VARIABLE}");
    };
    let credentials = Credentials::token(token);
    let identity = people
        .verifier
        .verify(&credentials)
        .await
        .with_context(|| format!("the token in {TOKEN_VARIABLE} is not taken{}", with_gitlab(config)))?;
    if identity.user.username != inquired.user {
        bail!(
            "the token in {TOKEN_VARIABLE} is that of {}, not of {}",
            identity.user.username,
            inquired.user
        );
    }
    Ok((Caller { user: identity.user, credentials: Some(credentials) }, identity.scope))
}

/// Names what was asked, for the end of an error.
fn with_gitlab(config: &Config) -> String {
    let url = config.gitlab.url.as_deref().filter(|_| config.directory.source == DirectorySource::Gitlab);
    url.map(|url| format!(" with gitlab.url: {url}")).unwrap_or_default()
}

fn as_text(inquired: &Inquired, explained: &Explained) -> String {
    let user = &explained.user;
    let mut text = format!("user      {} ({})\n", user.username, user.id.global_id());
    let _ = writeln!(text, "action    {}", inquired.action);
    let resource = inquired.resource.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string);
    let _ = writeln!(text, "resource  {resource}\n");
    let rows: Vec<[String; 3]> = explained
        .checks
        .steps
        .iter()
        .map(|step| {
            let check = format!("{} {}", step.check.number(), step.check.name());
            [check, step.finding.as_str().to_owned(), step.facts.clone()]
        })
        .collect();
    text.push_str(&output::table(&rows));
    match explained.refusal() {
        None => text.push_str("\nallowed\n"),
        Some(failure) => {
            let _ =
                writeln!(text, "\nrefused: {} by {}: {}", failure.code, failure.hop.as_str(), failure.text);
        }
    }
    text
}

fn as_json(inquired: &Inquired, explained: &Explained) -> serde_json::Value {
    let steps: Vec<_> = explained
        .checks
        .steps
        .iter()
        .map(|step| {
            json!({
                "check": step.check.number(),
                "name": step.check.name(),
                "finding": step.finding.as_str(),
                "facts": step.facts,
            })
        })
        .collect();
    let refusal = explained.refusal().map(|failure| {
        json!({"code": failure.code.as_str(), "hop": failure.hop.as_str(), "message": failure.text})
    });
    json!({
        "user": explained.user.id.global_id().to_string(),
        "action": inquired.action,
        "resource": inquired.resource.as_ref().map(ToString::to_string),
        "allowed": explained.refusal().is_none(),
        "refusal": refusal,
        "checks": steps,
    })
}
