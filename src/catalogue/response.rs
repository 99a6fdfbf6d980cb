//! What an action says of its answer: the steps applied to it, and what a reader's leaving does to it.

use duologue_actors::action::{Modifier, OnDisconnect};

use crate::{
    document::{Fields, Report, as_text},
    spelling,
};

/// Reads `response`, the steps in their order.
pub(super) fn modifiers(fields: &mut Fields, report: &mut Report) -> Vec<Modifier> {
    let mut modifiers = Vec::new();
    for node in fields.list("response", report) {
        let Some((place, name)) = as_text(node, "response", report) else {
            continue;
        };
        match Modifier::ALL.into_iter().find(|modifier| modifier.name() == name) {
            Some(again) if modifiers.contains(&again) => {
                report.fault(place, format!("`{name}` is there twice"));
            }
            Some(modifier) => modifiers.push(modifier),
            None => {
                let names = Modifier::ALL.map(Modifier::name);
                report.fault(place, spelling::unknown("step of `response`", name, &names));
            }
        }
    }
    modifiers
}

/// Reads `on_disconnect`.
pub(super) fn on_disconnect(fields: &mut Fields, report: &mut Report) -> OnDisconnect {
    let Some((place, word)) = fields.text("on_disconnect", report) else {
        return OnDisconnect::default();
    };
    let known = OnDisconnect::ALL.into_iter().find(|choice| choice.name() == word);
    if known.is_none() {
        let names = OnDisconnect::ALL.map(OnDisconnect::name);
        report.fault(place, spelling::unknown("choice of `on_disconnect`", word, &names));
    }
    known.unwrap_or_default()
}
