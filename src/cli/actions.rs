//! `duologue actions`: the catalogue as a table.

use std::process::ExitCode;

use duologue_actors::action::{Action, Catalogue, Maturity, ResourceRule};

use super::output;
use crate::{catalogue, config::Config, document::Faults};

/// Prints the actions of the catalogue.
///
/// # Errors
/// Everything that is wrong in the catalogue.
pub fn run(config: &Config) -> anyhow::Result<ExitCode> {
    let catalogue = load(config)?;
    let headings = ["ACTION", "MATURITY", "RESOURCE", "INPUT", "MODEL", "DESCRIPTION"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(headings)
        .chain(catalogue.iter().map(|action| row(action)))
        .collect();
    output::piece(&output::table(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// The catalogue of this configuration.
pub(super) fn load(config: &Config) -> Result<Catalogue, Faults> {
    let models: Vec<&str> = config.models.keys().map(String::as_str).collect();
    catalogue::load(&config.catalogue.path, &models)
}

fn row(action: &Action) -> [String; 6] {
    [
        action.name.clone(),
        maturity(action.maturity).to_owned(),
        resource(action),
        inputs(action),
        action.model.clone(),
        action.description.clone(),
    ]
}

fn maturity(maturity: Maturity) -> &'static str {
    match maturity {
        Maturity::Experimental => "experimental",
        Maturity::Beta => "beta",
        Maturity::Ga => "ga",
    }
}

fn resource(action: &Action) -> String {
    let types = action.resource_types.join("|");
    match action.resource {
        ResourceRule::None => "-".to_owned(),
        ResourceRule::Optional => format!("[{types}]"),
        ResourceRule::Required => types,
    }
}

fn inputs(action: &Action) -> String {
    if action.input.is_empty() {
        return "-".to_owned();
    }
    let inputs = action
        .input
        .iter()
        .map(|field| format!("{}: {}", field.name, field.type_name));
    inputs.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use duologue_actors::{action::InputField, testing::an_action};

    use super::*;

    #[test]
    fn a_row_says_what_an_action_takes() {
        let mut action = Action::clone(&an_action("explain_code"));
        action.input = vec![InputField {
            name: "code".to_owned(),
            type_name: "String!".to_owned(),
            max_length: None,
            allow_blank: false,
        }];
        let expected = [
            "explain_code",
            "ga",
            "[Issue|MergeRequest]",
            "code: String!",
            "default",
            "an action for tests",
        ];
        assert_eq!(row(&action), expected);
    }

    #[test]
    fn an_action_without_inputs_or_a_resource_shows_so() {
        let mut action = Action::clone(&an_action("ping"));
        action.resource = ResourceRule::None;
        assert_eq!(
            (resource(&action), inputs(&action)),
            ("-".to_owned(), "-".to_owned())
        );
    }
}
