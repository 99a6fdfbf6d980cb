//! `duologue actions`: the catalogue as a table.

use std::process::ExitCode;

use duologue_actors::{
    action::{Action, Catalogue, InputField, Maturity, Modifier, ResourceRule},
    prompt::PromptTemplate,
};

use super::output;
use crate::{
    catalogue::{self, Rules},
    config::Config,
    document::Faults,
    unit_primitives::UnitPrimitives,
};

/// Prints the actions of the catalogue.
///
/// # Errors
/// Everything that is wrong in the catalogue.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let catalogue = load(config)?;
    let headings = ["ACTION", "MATURITY", "RESOURCE", "MODEL", "PROMPT", "INPUT", "RESPONSE", "DESCRIPTION"]
        .map(str::to_owned);
    let rows: Vec<_> = std::iter::once(headings).chain(catalogue.iter().map(|action| row(action))).collect();
    output::piece(&output::table(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// The catalogue of this configuration.
pub(super) fn load(config: &Config) -> Result<Catalogue, Faults> {
    let unit_primitives = UnitPrimitives::load(&config.unit_primitives.path)?;
    catalogue::load(&config.catalogue.path, &Rules::of(config, &unit_primitives))
}

fn row(action: &Action) -> [String; 8] {
    [
        action.name.clone(),
        maturity(action.maturity).to_owned(),
        resource(action.resource).to_owned(),
        action.model.clone(),
        prompt(&action.prompt),
        inputs(action),
        response(&action.response),
        action.description.clone(),
    ]
}

fn maturity(maturity: Maturity) -> &'static str {
    match maturity {
        Maturity::Experimental => "experimental",
        Maturity::Beta => "beta",
        Maturity::Ga => "ga",
        Maturity::Unlisted => "-",
    }
}

fn resource(rule: ResourceRule) -> &'static str {
    match rule {
        ResourceRule::Required => "required",
        ResourceRule::Optional => "optional",
        ResourceRule::None => "-",
    }
}

/// The version users get, and those that flags select: `1.0.0, 2.0.0 by summarize_comments_v2`.
fn prompt(prompt: &PromptTemplate) -> String {
    let selected = prompt
        .selections
        .iter()
        .map(|selection| format!("{} by {}", selection.prompt.version, selection.flag));
    std::iter::once(prompt.default.version.to_string()).chain(selected).collect::<Vec<_>>().join(", ")
}

/// The steps its answer goes through.
fn response(modifiers: &[Modifier]) -> String {
    let names: Vec<&str> = modifiers.iter().map(|modifier| modifier.name()).collect();
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

/// The inputs an action cannot do without; `...` where there are others. The schema has the details.
fn inputs(action: &Action) -> String {
    let (required, optional): (Vec<&InputField>, Vec<&InputField>) =
        action.input.iter().partition(|field| field.type_name.ends_with('!'));
    let mut names: Vec<&str> = required.iter().map(|field| field.name.as_str()).collect();
    if !optional.is_empty() {
        names.push("...");
    }
    if names.is_empty() { "-".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use duologue_actors::{
        prompt::Selection,
        testing::{a_prompt, an_action},
    };
    use semver::Version;

    use super::*;

    fn field(name: &str, type_name: &str) -> InputField {
        InputField {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            max_length: None,
            allow_blank: false,
        }
    }

    #[test]
    fn a_row_says_what_an_action_takes() {
        let mut action = Action::clone(&an_action("explain_code"));
        action.input = vec![field("code", "String!"), field("language", "String")];
        let expected =
            ["explain_code", "ga", "optional", "default", "1.0.0", "code, ...", "-", "an action for tests"];
        assert_eq!(row(&action), expected);
    }

    #[test]
    fn a_row_says_which_prompts_there_are_and_what_is_done_to_an_answer() {
        let mut action = Action::clone(&an_action("explain_code"));
        let second = Arc::new(a_prompt(Version::new(2, 0, 0), "S", "U"));
        action.prompt.selections.push(Selection { flag: "explain_v2".to_owned(), prompt: second });
        action.response = vec![Modifier::Trim, Modifier::ExtractJson];
        let [.., prompt, _, response, _] = row(&action);
        assert_eq!(
            (prompt.as_str(), response.as_str()),
            ("1.0.0, 2.0.0 by explain_v2", "trim, extract_json")
        );
    }

    #[test]
    fn an_action_without_inputs_shows_so() {
        assert_eq!(inputs(&an_action("ping")), "-");
    }
}
