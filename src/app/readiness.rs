//! What readiness lists of the parts outside the pipeline, and when each of them counts as not as it should be.

use std::{collections::BTreeSet, future::ready, sync::Arc};

use super::Stores;
use crate::{
    config::Config,
    conversation::Conversation,
    flags::FileFlags,
    http::health::{Condition, Part},
    identity::Verifier,
    licence::Entitlements,
    offer::Offer,
    people::People,
    providers::Registry,
    storage::Storage,
};

pub(super) fn parts(
    config: &Config,
    offer: &Offer,
    people: &People,
    stores: &Stores,
    models: &Arc<Registry>,
) -> Vec<Part> {
    vec![
        storage_part(&stores.journal),
        conversation_part(&stores.conversation),
        flags_part(&offer.flags),
        licence_part(&offer.licences),
        issuers_part(&people.verifier),
        loaded("directory"),
        models_part(config, offer, models),
    ]
}

fn storage_part(storage: &Arc<Storage>) -> Part {
    let storage = storage.clone();
    Part::new("storage", move || {
        let storage = storage.clone();
        async move {
            match storage.probe().await {
                Ok(()) => storage
                    .damage()
                    .map_or(Condition::Ready, |damage| Condition::Degraded(damage.to_string())),
                Err(error) => Condition::Missing(error.to_string()),
            }
        }
    })
}

/// Requests are taken and answered without it.
fn conversation_part(conversation: &Arc<Conversation>) -> Part {
    let conversation = conversation.clone();
    Part::new("conversation", move || {
        let conversation = conversation.clone();
        async move { conversation.condition().await }
    })
}

/// While the file is faulty the flags are as they were before.
fn flags_part(flags: &Arc<FileFlags>) -> Part {
    let flags = flags.clone();
    Part::new("flags", move || ready(flags.fault().map_or(Condition::Ready, Condition::Degraded)))
}

/// Without a licence the server does what it should, and that is to refuse.
fn licence_part(licences: &Arc<Entitlements>) -> Part {
    let licences = licences.clone();
    Part::new("licence", move || {
        ready(licences.status().concern().map_or(Condition::Ready, Condition::Degraded))
    })
}

/// An issuer that does not answer is no reason to send away those with the tokens of another. Looking at it
/// keeps the keys of one that nobody uses from growing too old.
fn issuers_part(verifier: &Arc<Verifier>) -> Part {
    let verifier = verifier.clone();
    Part::new("issuers", move || {
        verifier.refresh_keys();
        ready(verifier.concern().map_or(Condition::Ready, Condition::Degraded))
    })
}

/// Requests for a model that is left alone end with an error or go to another one; nobody is to be sent away.
fn models_part(config: &Config, offer: &Offer, models: &Arc<Registry>) -> Part {
    let of_actions = offer.catalogue.iter().map(|action| &action.model);
    let names: BTreeSet<String> = config.feature_settings.keys().chain(of_actions).cloned().collect();
    let models = models.clone();
    Part::new("models", move || {
        let concern = models.concern(names.iter().map(String::as_str));
        ready(concern.map_or(Condition::Ready, Condition::Degraded))
    })
}

/// A part without which nothing starts, and which cannot be lost afterwards.
fn loaded(name: &'static str) -> Part {
    Part::new(name, || ready(Condition::Ready))
}
