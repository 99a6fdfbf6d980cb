//! What an action takes, read from the server's schema, and how the command line fills it in.

use serde_json::{Map, Value};

use super::Question;

mod schema;

pub(super) use schema::{INTROSPECTION, read};

/// The input that `--resource` fills.
const RESOURCE: &str = "resourceId";

/// An action and its inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ActionForm {
    name: String,
    inputs: Vec<Input>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Input {
    name: String,
    required: bool,
    kind: InputKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InputKind {
    Text,
    /// An id or an enum value: written as a text, but no question.
    Word,
    /// Written as JSON: numbers, booleans, lists, objects.
    Json,
}

/// What the command line says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answers<'q> {
    action: &'q str,
    question: Option<&'q str>,
    resource: Option<&'q duologue_actors::protocol::GlobalId>,
    inputs: &'q [(String, String)],
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    #[error("there is no action {action:?}; there are {known}")]
    UnknownAction { action: String, known: String },
    #[error("{action} has no input {input:?}; {known}")]
    UnknownInput { action: String, input: String, known: String },
    #[error("{action} needs a question, which is its {input}: duologue ask \"...\"")]
    NoQuestion { action: String, input: String },
    #[error("{action} takes no question; {known}")]
    QuestionNotTaken { action: String, known: String },
    #[error("{action} takes several texts; name each with --input: {names}")]
    QuestionNotClear { action: String, names: String },
    #[error("{action} needs a resource: --resource gid://gitlab/Issue/52")]
    NoResource { action: String },
    #[error("{action} takes no resource")]
    ResourceNotTaken { action: String },
    #[error("{action} needs --input {input}=...")]
    NoInput { action: String, input: String },
    #[error("--input {input} must be JSON, such as 3, true or {{\"a\": 1}}")]
    NotJson { input: String },
}

impl<'q> Answers<'q> {
    pub(super) fn of(question: &'q Question) -> Self {
        Self {
            action: &question.action,
            question: question.text.as_deref(),
            resource: question.resource.as_ref(),
            inputs: &question.inputs,
        }
    }
}

/// The `AiActionInput` for what the command line says.
pub(super) fn fill(answers: &Answers<'_>, actions: &[ActionForm]) -> Result<Map<String, Value>, FormError> {
    let form = find(answers.action, actions)?;
    let mut filled = form.named(answers.inputs)?;
    form.with_resource(answers, &mut filled)?;
    form.with_question(answers, &mut filled)?;
    for input in &form.inputs {
        if input.required && !filled.contains_key(&input.name) {
            return Err(FormError::NoInput { action: form.called(), input: input.called() });
        }
    }
    Ok(Map::from_iter([(form.name.clone(), filled.into())]))
}

fn find<'f>(action: &str, actions: &'f [ActionForm]) -> Result<&'f ActionForm, FormError> {
    actions.iter().find(|form| is_same_name(&form.name, action)).ok_or_else(|| FormError::UnknownAction {
        action: action.to_owned(),
        known: actions.iter().map(ActionForm::called).collect::<Vec<_>>().join(", "),
    })
}

/// `summarize_comments` and `summarizeComments` are one name.
fn is_same_name(one: &str, other: &str) -> bool {
    let letters = |name: &str| name.replace('_', "").to_ascii_lowercase();
    letters(one) == letters(other)
}

/// A name of the schema as the catalogue and the command line spell it.
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

impl ActionForm {
    fn called(&self) -> String {
        snake_case(&self.name)
    }

    fn named(&self, given: &[(String, String)]) -> Result<Map<String, Value>, FormError> {
        let mut filled = Map::new();
        for (name, text) in given {
            let input =
                self.inputs.iter().find(|input| is_same_name(&input.name, name)).ok_or_else(|| {
                    FormError::UnknownInput {
                        action: self.called(),
                        input: name.clone(),
                        known: self.known_inputs(),
                    }
                })?;
            filled.insert(input.name.clone(), input.value(text)?);
        }
        Ok(filled)
    }

    fn with_resource(&self, answers: &Answers<'_>, filled: &mut Map<String, Value>) -> Result<(), FormError> {
        let input = self.inputs.iter().find(|input| input.name == RESOURCE);
        match (answers.resource, input) {
            (Some(resource), Some(_)) => {
                filled.insert(RESOURCE.to_owned(), resource.to_string().into());
            }
            (Some(_), None) => {
                return Err(FormError::ResourceNotTaken { action: self.called() });
            }
            (None, Some(input)) if input.required && !filled.contains_key(RESOURCE) => {
                return Err(FormError::NoResource { action: self.called() });
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// The question is the one required text that nothing else has filled.
    fn with_question(&self, answers: &Answers<'_>, filled: &mut Map<String, Value>) -> Result<(), FormError> {
        let open: Vec<&str> = self
            .inputs
            .iter()
            .filter(|input| input.required && input.kind == InputKind::Text)
            .filter(|input| !filled.contains_key(&input.name))
            .map(|input| input.name.as_str())
            .collect();
        let action = self.called();
        match (answers.question, open.as_slice()) {
            (Some(question), [only]) => {
                filled.insert((*only).to_owned(), question.into());
                Ok(())
            }
            (None, []) => Ok(()),
            (None, [only]) => Err(FormError::NoQuestion { action, input: snake_case(only) }),
            (Some(_), []) => Err(FormError::QuestionNotTaken { action, known: self.known_inputs() }),
            (_, names) => {
                let names = names.iter().map(|name| snake_case(name)).collect::<Vec<_>>().join(", ");
                Err(FormError::QuestionNotClear { action, names })
            }
        }
    }

    fn known_inputs(&self) -> String {
        match self.inputs.iter().map(Input::called).collect::<Vec<_>>().as_slice() {
            [] => "it has none".to_owned(),
            names => format!("its inputs are {}", names.join(", ")),
        }
    }
}

impl Input {
    fn called(&self) -> String {
        snake_case(&self.name)
    }

    fn value(&self, text: &str) -> Result<Value, FormError> {
        match self.kind {
            InputKind::Text | InputKind::Word => Ok(text.into()),
            InputKind::Json => {
                serde_json::from_str(text).map_err(|_| FormError::NotJson { input: self.called() })
            }
        }
    }
}

#[cfg(test)]
mod tests;
