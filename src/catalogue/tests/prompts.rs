//! Versions of prompts, prompts for providers, prompts with turns, and what is done to the answer.

use duologue_actors::action::{Action, Modifier, OnDisconnect};

use super::*;

const HEAD: &str = "\
name: amazing_new_ai_feature
feature_flag: amazing_new_ai_feature_flag
licensed_feature: ai_features
unit_primitive: amazing_feature
maturity: ga
";

const VERSIONS: &str = "\
prompt:
  use: ^1.0.0
  select:
    - {flag: amazing_v2, use: ^2.0.0}
    - {flag: amazing_preview, use: =3.0.0-rc.1}
  versions:
    1.0.0: {system: One., user: A}
    1.1.0: {system: One and a bit., user: A}
    3.0.0-rc.1: {system: Three., user: A}
    2.0.0:
      system: Two.
      user: A
      for: {vertex_ai: {system: Two for Vertex., user: A}}
";

const KEPT: &str = "\
prompt:
  version: 1.0.0
  system: S
  user: A
  for:
    ai_gateway:
      prompt_id: amazing/feature
      prompt_version: ^1.0.0
      inputs: {who: '{{ user.name }}'}
";

fn action(rest: &str) -> Action {
    let folder = folder(&[("amazing_new_ai_feature.yaml", &format!("{HEAD}{rest}"))]);
    let catalogue = load(folder.path()).unwrap_or_else(|faults| panic!("{faults}"));
    Action::clone(&catalogue.get("amazing_new_ai_feature").unwrap())
}

/// The one fault of `text` with `from` replaced. Its lines count from the end of [`HEAD`].
fn fault(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in the good text");
    let found = faults(&format!("{HEAD}{}", text.replacen(from, to, 1)));
    assert_eq!(found.len(), 1, "{found:?}");
    let (line, rest) = found[0].split_once(':').unwrap();
    format!("{}:{rest}", line.parse::<usize>().unwrap() - HEAD.lines().count())
}

fn system(action: &Action, is_on: impl Fn(&str) -> bool, provider: &str) -> String {
    written(action.prompt.chosen(is_on).text_for(provider, provider)).system().to_owned()
}

#[test]
fn users_get_the_highest_version_that_matches_and_flags_select_others() {
    let action = action(VERSIONS);
    let versions: Vec<String> =
        action.prompt.versions.iter().map(|prompt| prompt.version.to_string()).collect();
    assert_eq!(versions, ["1.0.0", "1.1.0", "2.0.0", "3.0.0-rc.1"]);
    assert_eq!(system(&action, |_| false, "embedded"), "One and a bit.");
    assert_eq!(system(&action, |flag| flag == "amazing_v2", "embedded"), "Two.");
    assert_eq!(system(&action, |flag| flag == "amazing_v2", "vertex_ai"), "Two for Vertex.");
    assert_eq!(system(&action, |flag| flag == "amazing_preview", "embedded"), "Three.");
    assert_eq!(system(&action, |_| true, "embedded"), "Two.");
}

#[test]
fn without_a_word_on_it_users_get_the_highest_version_that_is_no_pre_release() {
    let action = action(&VERSIONS.replace("  use: ^1.0.0\n", ""));
    assert_eq!(action.prompt.default.version.to_string(), "2.0.0");
}

#[rstest::rstest]
#[case(
    "  use: ^1.0.0",
    "  use: ^4.0.0",
    "2:8: no version matches `^4.0.0`; there are: 1.0.0, 1.1.0, 2.0.0, 3.0.0-rc.1"
)]
#[case("  use: ^1.0.0", "  use: ^3.0.0", "2:8: no version matches `^3.0.0`; there are:")]
#[case("  use: ^1.0.0", "  use: newest", "2:8: `newest` is not a requirement on versions such as ^1.0.0")]
#[case("use: ^2.0.0", "use: '>2'", "4:31: no version matches `>2`; there are:")]
#[case("flag: amazing_v2", "flag: AmazingV2", "4:14: `flag` must be snake_case")]
#[case("flag: amazing_v2", "flag: ai_global_switch", "4:14: `flag` must not be `ai_global_switch`")]
#[case("flag: amazing_v2, ", "", "4:7: `flag` is missing")]
#[case(
    "flag: amazing_v2",
    "flag: ai_features",
    "4:14: the feature flag must not be called like a licensed feature, and `ai_features` is one at "
)]
#[case(
    "flag: amazing_v2",
    "flag: amazing_new_ai_feature_flag",
    "4:14: a version of the prompt must be selected by a flag of its own, and `amazing_new_ai_feature_flag` is the"
)]
#[case("flag: amazing_preview", "flag: amazing_v2", "5:14: `amazing_v2` selects a version already")]
#[case("    1.1.0:", "    1.1:", "8:5: `1.1` is not a version such as 1.0.0")]
#[case("    1.1.0:", "    1.0.0:", "8:5: `1.0.0` is there twice")]
#[case("user: A}\n    1.1.0", "user: '{{ a }}'}\n    1.1.0", "7:33: the template says `a`")]
#[case(
    "  versions:",
    "  version: 1.0.0\n  versions:",
    "6:3: unknown key `version`; known here: versions, use, select"
)]
fn faulty_versions_are_refused(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let found = fault(VERSIONS, from, to);
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn when_all_versions_are_pre_releases_one_must_be_named() {
    let prompt = "prompt:\n  versions:\n    1.0.0-a: {system: S, user: A}\n";
    let found = fault(prompt, "A}", "A}");
    assert!(found.starts_with("3:5: each version is a pre-release: 1.0.0-a; say with `use`"), "{found}");
    let empty = fault(prompt, "\n    1.0.0-a: {system: S, user: A}", " {}");
    assert_eq!(empty, "2:13: `versions` has no version such as 1.0.0");
}

#[test]
fn a_provider_may_keep_the_prompt_itself() {
    let action = action(KEPT);
    let PromptText::Kept(kept) = action.prompt.default.text_for("ai_gateway", "ai_gateway") else {
        panic!("not kept");
    };
    let values = minijinja::context! { user => minijinja::context! { name => "Ada" } };
    let rendered = kept.render(&values).unwrap();
    assert_eq!((rendered.id.as_str(), rendered.version.as_str()), ("amazing/feature", "^1.0.0"));
    assert_eq!(rendered.inputs["who"], "Ada");
}

#[rstest::rstest]
#[case(
    "ai_gateway:",
    "ai_gatewai:",
    "6:5: unknown provider `ai_gatewai`; did you mean `ai_gateway`? Known: embedded,"
)]
#[case("ai_gateway:", "mine:", "6:5: unknown provider `mine`; known: embedded, vertex_ai, ai_gateway")]
#[case("ai_gateway:", "vertex_ai:", "6:5: vertex_ai keeps no prompts: give it `system` and `user` instead")]
#[case("amazing/feature", "../v1/chat", "7:18: `../v1/chat` is not a prompt id such as")]
#[case(
    "prompt_version: ^1.0.0",
    "prompt_version: ' ^1.0.0'",
    "8:23: ` ^1.0.0` is not a version such as ^1.0.0"
)]
#[case("prompt_version: ^1.0.0", "prompt_version: \"a\\tb\"", "8:23: `a\\tb` is not a version such as")]
#[case("prompt_version: ^1.0.0", "prompt_version: ''", "8:23: ")]
#[case("      prompt_version: ^1.0.0\n", "", "7:7: `prompt_version` is missing")]
#[case("user.name", "user.email", "9:21: the template says `user.email`; `user` has: name, username")]
#[case("inputs:", "system: S\n      inputs:", "9:7: unknown key `system`; known here: prompt_id,")]
fn a_faulty_prompt_for_a_provider_is_refused(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let found = fault(KEPT, from, to);
    assert!(found.starts_with(expected), "{found}");
}

#[rstest::rstest]
#[case("==1.0.0")]
#[case(">=1.0, <2.0")]
#[case("~=1.4.2")]
#[case("1.0.0-dev")]
fn the_version_of_a_kept_prompt_is_for_its_provider_to_judge(#[case] version: &str) {
    let action = action(&KEPT.replace("^1.0.0", &format!("'{version}'")));
    let PromptText::Kept(kept) = action.prompt.default.text_for("ai_gateway", "ai_gateway") else {
        panic!("not kept");
    };
    let values = minijinja::context! { user => minijinja::context! { name => "Ada" } };
    assert_eq!(kept.render(&values).unwrap().version, version);
}

#[test]
fn a_kept_prompt_of_a_conversation_must_be_told_of_it() {
    let conversation = format!("input: {{content: String!}}\ncache_response: true\n{KEPT}");
    let found = fault(&conversation, "A", "A");
    assert!(found.starts_with("9:18: the action keeps its conversation (`cache_response`)"), "{found}");
    let told =
        conversation.replace("{{ user.name }}", "{% for turn in history %}{{ turn.content }}{% endfor %}");
    action(&told);
}

const LEGACY: &str = "\
input: {content: String}
prompt:
  version: 1.0.0
  system: S
  user: |


    Human: {{ input.content or 'Hello?' }}

    Assistant:
";

#[test]
fn a_prompt_with_turns_is_taken() {
    let values = minijinja::context! { input => minijinja::context! { content => "Hi?" } };
    let turns = written(&action(LEGACY).prompt.default.text).render(&values).unwrap().turns;
    assert_eq!(turns.iter().map(|turn| turn.content.as_str()).collect::<Vec<_>>(), ["Hi?"]);
}

#[rstest::rstest]
#[case(
    "Assistant:",
    "Assistant: Here is",
    "10:5: the turns cannot be sent when everything is there: text follows"
)]
#[case(
    "Assistant:",
    "Assistant: {% if not input.content %}Well{% endif %}",
    "10:5: the turns cannot be sent when what is optional is absent: text follows"
)]
#[case(
    "Human:",
    "Assistant: Hi\n\n    Human:",
    "8:5: the turns cannot be sent when everything is there: the first turn"
)]
#[case(
    " or 'Hello?'",
    " or ''",
    "8:5: the turns cannot be sent when what is optional is absent: nothing is asked"
)]
fn turns_no_model_takes_are_refused(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let found = fault(LEGACY, from, to);
    assert!(found.starts_with(expected), "{found}");
}

#[test]
fn an_answer_goes_through_named_steps_and_may_outlive_its_reader() {
    let prompt = "prompt: {version: 1.0.0, system: S, user: A}\n";
    let plain = action(prompt);
    assert_eq!((plain.response, plain.on_disconnect), (Vec::new(), OnDisconnect::Cancel));
    let changed = action(&format!("{prompt}response: [strip_code_fence, trim]\non_disconnect: drain\n"));
    assert_eq!(changed.response, [Modifier::StripCodeFence, Modifier::Trim]);
    assert_eq!(changed.on_disconnect, OnDisconnect::Drain);
}

#[rstest::rstest]
#[case(
    "trim",
    "trimm",
    "2:12: unknown step of `response` `trimm`; did you mean `trim`? Known: trim, strip_code_fence, extract_json"
)]
#[case("trim", "shout", "2:12: unknown step of `response` `shout`; known: trim, strip_code_fence,")]
#[case("[trim]", "[trim, trim]", "2:18: `trim` is there twice")]
#[case("[trim]", "trim", "2:11: `response` must be a list, not a text")]
#[case("drain", "ignore", "3:16: unknown choice of `on_disconnect` `ignore`; known: cancel, drain")]
fn a_faulty_response_is_refused(#[case] from: &str, #[case] to: &str, #[case] expected: &str) {
    let good = "prompt: {version: 1.0.0, system: S, user: A}\nresponse: [trim]\non_disconnect: drain\n";
    let found = fault(good, from, to);
    assert!(found.starts_with(expected), "{found}");
}
