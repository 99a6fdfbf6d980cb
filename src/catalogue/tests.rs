//! Faults of catalogue files, as the person who wrote the file sees them.

use std::fs;

use duologue_actors::{
    action::{Maturity, ResourceRule},
    prompt::{PromptText, WrittenPrompt},
};
use tempfile::TempDir;

use super::*;
use crate::unit_primitives;

mod prompts;

const GOOD: &str = "\
name: amazing_new_ai_feature
feature_flag: amazing_new_ai_feature_flag
licensed_feature: ai_features
unit_primitive: amazing_feature
maturity: ga
resource: required
resource_types: [Issue]
input:
  user_input: {type: String!, max_length: 1000, allow_blank: false}
prompt:
  version: 1.0.0
  system: Help the developer who asks.
  user: |
    You write code that fits what is described here.

    context: {{ input.user_input }}
";

/// What `amazing_new_ai_feature` may name.
fn load(path: &Path) -> Result<Catalogue, Faults> {
    load_where(path, UnlistedFeatures::Allow)
}

fn load_where(path: &Path, unlisted: UnlistedFeatures) -> Result<Catalogue, Faults> {
    let unit_primitives = unit_primitives::tests::registered("amazing_feature: {description: Amazes}\n");
    super::load(path, &rules(&unit_primitives, unlisted))
}

fn rules(unit_primitives: &UnitPrimitives, unlisted: UnlistedFeatures) -> Rules<'_> {
    let providers = [("embedded", false), ("vertex_ai", false), ("ai_gateway", true)]
        .map(|(name, keeps_prompts)| Provider { name, keeps_prompts });
    let unanswered = [("claude", "`claude` is not set up: ANTHROPIC_API_KEY is not set")];
    Rules {
        models: vec!["default", "claude"],
        unanswered: unanswered.map(|(name, why)| (name.to_owned(), why.to_owned())).into(),
        providers: providers.to_vec(),
        unit_primitives,
        unlisted,
    }
}

/// The catalogue of the source tree.
pub(crate) fn shipped() -> Catalogue {
    shipped_at(&Path::new(env!("CARGO_MANIFEST_DIR")).join(SHIPPED))
}

fn shipped_at(path: &Path) -> Catalogue {
    let unit_primitives = unit_primitives::tests::shipped();
    let unlisted = UnlistedFeatures::Refuse;
    super::load(path, &rules(&unit_primitives, unlisted)).unwrap_or_else(|faults| panic!("{faults}"))
}

fn written(text: &PromptText) -> &WrittenPrompt {
    match text {
        PromptText::Written(prompt) => prompt,
        PromptText::Kept(kept) => panic!("{kept:?} is kept elsewhere"),
    }
}

fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The faults of one file called `amazing_new_ai_feature.yaml`, without the folder's name.
fn faults(text: &str) -> Vec<String> {
    let folder = folder(&[("amazing_new_ai_feature.yaml", text)]);
    let Err(Faults(faults)) = load(folder.path()) else {
        return Vec::new();
    };
    faults.iter().map(|fault| fault.to_string().split_once("feature.yaml:").unwrap().1.to_owned()).collect()
}

fn fault_of_change(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from} is not in the good file");
    let faults = faults(&GOOD.replacen(from, to, 1));
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

#[test]
fn a_new_file_is_a_new_action() {
    let folder = folder(&[("amazing_new_ai_feature.yaml", GOOD)]);
    let catalogue = load(folder.path()).unwrap();
    let action = catalogue.get("amazing_new_ai_feature").unwrap();
    assert_eq!(action.graphql_name(), "amazingNewAiFeature");
    assert_eq!(action.description, "Amazing new ai feature");
    assert_eq!((action.maturity, action.resource), (Maturity::Ga, ResourceRule::Required));
    assert_eq!(action.input[0].name, "user_input");
    assert_eq!(action.input[0].max_length, Some(1000));
    assert!(!action.flag_default && !action.cache_response && !action.input[0].allow_blank);
    assert!(written(&action.prompt.default.text).user().ends_with("context: {{ input.user_input }}\n"));
}

#[test]
fn the_shipped_catalogue_is_right_and_is_built_in() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    let nowhere = tempfile::tempdir().unwrap().path().join("catalogue/");
    for path in [shipped, nowhere] {
        let catalogue = shipped_at(&path);
        let names: Vec<&str> = catalogue.iter().map(|action| action.name.as_str()).collect();
        let expected =
            ["chat", "explain_code", "generate_description", "summarize_comments", "summarize_discussion"];
        assert_eq!(names, expected);
        assert!(catalogue.get("chat").unwrap().cache_response);
    }
}

#[test]
fn a_missing_folder_of_ones_own_is_a_fault() {
    let nowhere = tempfile::tempdir().unwrap().path().join("actions");
    let faults = load(&nowhere).unwrap_err();
    assert!(faults.to_string().contains("actions: the catalogue cannot be read"), "{faults}");
}

#[test]
fn all_faults_of_all_files_are_named_at_once() {
    let broken = GOOD.replace("maturity: ga", "maturity: old\ncolour: red");
    let folder = folder(&[("amazing_new_ai_feature.yaml", &broken), ("other.yaml", "name: [\n")]);
    let Faults(faults) = load(folder.path()).unwrap_err();
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[rstest::rstest]
#[case("name: amazing_new_ai_feature", "name: other", "1:7: the file must be called other.yaml")]
#[case("maturity: ga", "maturity: old", "5:11: unknown maturity `old`; known: experimental, beta, ga")]
#[case("maturity: ga", "maturity: ga\ncolour: red", "6:1: unknown key `colour`; known here: name,")]
#[case(
    "unit_primitive: amazing_feature",
    "unit_primitive: amazing_faeture",
    "4:17: unknown unit primitive `amazing_faeture`; did you mean `amazing_feature`?"
)]
#[case("unit_primitive: amazing_feature\n", "", "1:1: `unit_primitive` is missing")]
#[case(
    "unit_primitive: amazing_feature",
    "unit_primitive: brew_coffee",
    "4:17: unknown unit primitive `brew_coffee`; register it in primitives.yaml"
)]
#[case(
    "feature_flag: amazing_new_ai_feature_flag",
    "feature_flag: ai_features",
    "2:15: the feature flag must not be called like a licensed feature, and `ai_features` is one at "
)]
#[case(
    "feature_flag: amazing_new_ai_feature_flag",
    "feature_flag: ai_global_switch",
    "2:15: `feature_flag` must not be `ai_global_switch`: the server has a flag"
)]
#[case(
    "licensed_feature: ai_features",
    "licensed_feature: ai_duo_chat_switch",
    "3:19: `licensed_feature` must not be `ai_duo_chat_switch`"
)]
#[case("feature_flag: amazing", "feature_flag: Amazing", "2:15: `feature_flag` must be snake_case")]
#[case(
    "maturity: ga",
    "maturity: ga\nmodel: gpt",
    "6:8: unknown model `gpt`; `feature_settings` and `models` in the configuration have: default, claude"
)]
#[case(
    "maturity: ga",
    "maturity: ga\nmodel: claude",
    "6:8: `claude` is not set up: ANTHROPIC_API_KEY is not set; set it, or name another model"
)]
#[case("resource: required", "resource: maybe", "6:11: unknown resource rule `maybe`")]
#[case("[Issue]", "[Issue, Ticket]", "7:25: unknown resource type `Ticket`")]
#[case("[Issue]", "[]", "6:11: `resource_types` must name what is taken")]
#[case("{type: String!,", "{type: Text!,", "9:22: unknown input type `Text!`; known: String")]
#[case("{type: String!,", "{type: Int,", "9:22: `max_length` and `allow_blank` are for texts")]
#[case("max_length: 1000", "max_length: 0", "9:43: `max_length` must be a whole number above 0")]
#[case("max_length: 1000", "longest: 1000", "9:31: unknown key `longest`")]
#[case("prompt:\n", "  resource_id: ID\nprompt:\n", "10:3: `resource_id` is added by itself")]
#[case("prompt:\n", "  userInput: ID\nprompt:\n", "10:3: `userInput` is not snake_case")]
#[case(
    "user_input: {type: String!, max_length: 1000, allow_blank: false}\n",
    "user_input: {type: ID}\ncache_response: true\n",
    "1:1: `cache_response` keeps the user's message, but no input is a String"
)]
#[case("version: 1.0.0", "version: one", "11:12: `one` is not a version")]
#[case("version: 1.0.0", "version: 1", "11:12: `version` must be a text, not a number")]
#[case("  user: |", "  usr: |", "11:3: `user` is missing")]
#[case("{{ input.user_input }}", "{{ input.user_input }", "16:5: the template does not compile")]
#[case(
    "{{ input.user_input }}",
    "{{ input.user }}",
    "16:5: the template says `input.user`; `input` has: user_input"
)]
#[case("{{ input.user_input }}", "{{ project.name }}", "16:5: the template says `project.name`; it may use")]
#[case("{{ input.user_input }}", "{{ resource.titel }}", "16:5: the template says `resource.titel`")]
#[case(
    "{{ input.user_input }}",
    "{{ input.user_input|shout }}",
    "16:5: the template does not render when everything"
)]
#[case("Help the developer who asks.", "'Help {{ user.email }}'", "12:11: the template says `user.email`")]
fn a_faulty_file_is_refused_with_line_column_and_reason(
    #[case] from: &str,
    #[case] to: &str,
    #[case] fault: &str,
) {
    let found = match (from, to) {
        ("  user: |", _) => faults(&GOOD.replace(from, to)).remove(0),
        _ => fault_of_change(from, to),
    };
    assert!(found.starts_with(fault), "{found}");
}

#[test]
fn a_template_that_forgets_that_the_resource_is_optional_is_refused() {
    let optional = GOOD.replace("resource: required", "resource: optional");
    let careless = optional.replace("{{ input.user_input }}", "{{ resource.title }}");
    let found = faults(&careless).remove(0);
    assert!(
        found.starts_with("16:5: the template does not render when what is optional is absent"),
        "{found}"
    );
    let careful =
        optional.replace("{{ input.user_input }}", "{% if resource %}{{ resource.title }}{% endif %}");
    assert_eq!(faults(&careful), Vec::<String>::new());
}

#[test]
fn a_template_cannot_use_a_resource_that_is_never_there() {
    let none = GOOD.replace("resource: required\nresource_types: [Issue]\n", "");
    let found = faults(&none.replace("{{ input.user_input }}", "{{ resource.title }}")).remove(0);
    assert!(found.contains("the action takes no resource"), "{found}");
}

#[test]
fn two_actions_that_are_one_field_in_graphql_are_refused() {
    let first = GOOD.replace("name: amazing_new_ai_feature\n", "name: top_3\n");
    let second = GOOD.replace("name: amazing_new_ai_feature\n", "name: top3\n");
    let folder = folder(&[("top_3.yaml", &first), ("top3.yaml", &second)]);
    let faults = load(folder.path()).unwrap_err().to_string();
    assert!(faults.contains("1:7: the field `top3` of `aiAction` is already taken by"), "{faults}");
}

#[test]
fn a_flag_called_like_the_licensed_feature_of_another_action_is_refused_and_both_files_are_named() {
    let chat = GOOD.replace("name: amazing_new_ai_feature\n", "name: chat\n");
    let explain = GOOD
        .replace("name: amazing_new_ai_feature\n", "name: explain\n")
        .replace("amazing_new_ai_feature_flag", "ai_features")
        .replace("licensed_feature: ai_features", "licensed_feature: explain_code");
    let folder = folder(&[("chat.yaml", &chat), ("explain.yaml", &explain)]);
    let Faults(faults) = load(folder.path()).unwrap_err();
    let path = |file: &str| folder.path().join(file).display().to_string();
    let expected = format!(
        "{}:2:15: the feature flag must not be called like a licensed feature, and `ai_features` is one at {}:3:19",
        path("explain.yaml"),
        path("chat.yaml")
    );
    assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_provider_may_have_a_prompt_of_its_own() {
    let with =
        format!("{GOOD}  for:\n    vertex_ai:\n      system: S\n      user: '{{{{ input.user_input }}}}'\n");
    let folder = folder(&[("amazing_new_ai_feature.yaml", &with)]);
    let action = load(folder.path()).unwrap().get("amazing_new_ai_feature").unwrap();
    let prompt = &action.prompt.default;
    assert_eq!(written(prompt.text_for("google", "vertex_ai")).system(), "S");
    assert!(written(prompt.text_for("embedded", "embedded")).user().starts_with("You write"));
}

#[test]
fn an_action_in_no_list_of_stages_is_finished_or_refused_as_the_settings_say() {
    let folder = folder(&[("amazing_new_ai_feature.yaml", &GOOD.replace("maturity: ga\n", ""))]);
    let maturity = |unlisted| {
        load_where(folder.path(), unlisted).unwrap().get("amazing_new_ai_feature").unwrap().maturity
    };
    assert_eq!(maturity(UnlistedFeatures::Allow), Maturity::Ga);
    assert_eq!(maturity(UnlistedFeatures::Refuse), Maturity::Unlisted);
}
