//! `duologue actions`: the catalogue as a table.

use std::process::ExitCode;

use duologue_actors::action::{Action, Catalogue, InputField, Maturity, ResourceRule};

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
    let headings = ["ACTION", "MATURITY", "RESOURCE", "MODEL", "INPUT", "DESCRIPTION"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(headings).chain(catalogue.iter().map(|action| row(action))).collect();
    output::piece(&output::table(&rows))?;
    Ok(ExitCode::SUCCESS)
}

/// The catalogue of this configuration.
pub(super) fn load(config: &Config) -> Result<Catalogue, Faults> {
    let unit_primitives = UnitPrimitives::load(&config.unit_primitives.path)?;
    catalogue::load(&config.catalogue.path, &Rules::of(config, &unit_primitives))
}

fn row(action: &Action) -> [String; 6] {
    [
        action.name.clone(),
        maturity(action.maturity).to_owned(),
        resource(action.resource).to_owned(),
        action.model.clone(),
        inputs(action),
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
    use duologue_actors::testing::an_action;

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
        let expected = ["explain_code", "ga", "optional", "default", "code, ...", "an action for tests"];
        assert_eq!(row(&action), expected);
    }

    #[test]
    fn an_action_without_inputs_shows_so() {
        assert_eq!(inputs(&an_action("ping")), "-");
    }
}
