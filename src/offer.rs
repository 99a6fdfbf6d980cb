//! What the server has to offer, and to whom, built from the settings. The server, `policy explain` and
//! `setup` build the same, so that what is explained is what would be decided.

use std::sync::Arc;

use duologue_actors::{action::Catalogue, clock::Clock};

use crate::{
    catalogue::{self, Rules},
    config::Config,
    document::Faults,
    flags::{FileFlags, Names},
    licence::Entitlements,
    unit_primitives::UnitPrimitives,
};

/// What is offered, what is switched on and what was bought.
pub struct Offer {
    pub catalogue: Arc<Catalogue>,
    pub flags: Arc<FileFlags>,
    pub licences: Arc<Entitlements>,
}

impl Offer {
    /// As things stand now.
    ///
    /// # Errors
    /// Everything that is wrong with the first of the files that is faulty.
    pub fn load(config: &Config) -> Result<Self, Faults> {
        let (catalogue, primitives) = catalogue_and_primitives(config, |rules| rules)?;
        let flags = FileFlags::open(&config.flags, Names::of(&catalogue))?;
        let licences = Entitlements::load(config, primitives, Clock::system());
        Ok(Self { catalogue, flags: Arc::new(flags), licences: Arc::new(licences) })
    }

    /// The same to be served, and what changes in the flags and the licence from now on: what actions name must be
    /// set up. Needs a tokio runtime.
    ///
    /// # Errors
    /// As [`Offer::load`]; also when the flags cannot be watched.
    pub fn follow(config: &Config) -> Result<Self, Faults> {
        let (catalogue, primitives) = catalogue_and_primitives(config, |rules| rules.to_serve(config))?;
        let flags = FileFlags::watch(&config.flags, Names::of(&catalogue))?;
        let licences = Entitlements::follow(config, primitives, Clock::system());
        Ok(Self { catalogue, flags: Arc::new(flags), licences: Arc::new(licences) })
    }
}

fn catalogue_and_primitives(
    config: &Config,
    narrowed: impl for<'r> FnOnce(Rules<'r>) -> Rules<'r>,
) -> Result<(Arc<Catalogue>, Arc<UnitPrimitives>), Faults> {
    let primitives = UnitPrimitives::load(&config.unit_primitives.path)?;
    let catalogue = catalogue::load(&config.catalogue.path, &narrowed(Rules::of(config, &primitives)))?;
    Ok((Arc::new(catalogue), Arc::new(primitives)))
}
