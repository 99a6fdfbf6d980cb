//! The whole edge on a whole pipeline with fakes outside, for tests of the edge.

use std::{sync::Arc, time::Duration};

use duologue_actors::{
    action::{Action, InputField, ResourceRule},
    prompt::PromptTemplate,
    supervisor::Tree,
    testing::{World, a_prompt, an_action},
};
use semver::Version;

use super::{Edge, connections::Connections};
use crate::{
    admission::Admission,
    config::Config,
    directory::FileDirectory,
    env_file::Environment,
    flags::{FileFlags, Names},
    graphql::{Graphql, GraphqlParts},
    http::features::Features,
    providers::Registry,
    websocket::Sockets,
};

pub(crate) struct TestEdge {
    pub world: World,
    pub edge: Edge,
    /// The pipeline lives as long as its tree.
    pub tree: Tree,
}

/// `chat`, which takes a file, and `summarize_comments`, which needs a resource.
pub(crate) fn world() -> World {
    let field = |name: &str, type_name: &str, max_length| InputField {
        name: name.to_owned(),
        type_name: type_name.to_owned(),
        max_length,
        allow_blank: false,
    };
    let chat = Action {
        input: vec![
            field("content", "String!", Some(100)),
            field("current_file", "AiCurrentFileInput", None),
            field("additional_context", "[AiAdditionalContextInput!]", None),
        ],
        ..Action::clone(&an_action("chat"))
    };
    let summarize =
        Action { resource: ResourceRule::Required, ..Action::clone(&an_action("summarize_comments")) };
    let mut world = World { actions: vec![Arc::new(chat), Arc::new(summarize)], ..World::default() };
    for action in &mut world.actions {
        let prompt = a_prompt(Version::new(1, 0, 0), "Answer.", "{{ input.content or 'summarize' }}");
        Arc::make_mut(action).prompt = PromptTemplate::only(prompt);
    }
    world
}

/// Starts the actors on this thread.
pub(crate) fn start(world: World) -> TestEdge {
    start_with(world, true)
}

/// The same where whoever shows no token may be somebody all the same, as the fake verifier has it.
pub(crate) fn start_without_tokens(world: World) -> TestEdge {
    start_with(world, false)
}

fn start_with(world: World, needs_token: bool) -> TestEdge {
    let config = Config::from_layers(None, &Environment::default()).unwrap();
    let tree = Tree::start_here(world.parts()).unwrap();
    let entrance = tree.entrance().clone();
    let admission = Admission::new(world.permits.clone(), entrance.clone(), Duration::from_secs(1));
    let graphql = Graphql::new(GraphqlParts {
        entrance: entrance.clone(),
        catalogue: world.parts().catalogue,
        flags: world.flags.clone(),
        admission: admission.clone(),
        config: config.graphql.clone(),
        advertised_version: config.server.advertised_version.clone(),
        needs_token,
        allows_inline: config.graphql.inline.allowed(&config.auth),
    })
    .unwrap();
    let clock = world.clock.clone();
    let (websocket, auth) = (config.websocket.clone(), &config.auth);
    let sockets = Sockets::new(graphql.clone(), entrance.clone(), clock, websocket, Vec::new(), auth);
    let connections =
        Connections::new(config.server.max_connections, config.server.max_new_connections_per_second);
    let max_body_bytes = config.server.max_body_bytes;
    let features = Features {
        flags: Arc::new(FileFlags::open(&config.flags, Names::default()).unwrap()),
        names: Arc::new(FileDirectory::load(&config.directory, &config.deployment).unwrap()),
    };
    let parts = Vec::new();
    let models = Arc::new(Registry::new(&config).unwrap());
    let edge = Edge {
        graphql,
        sockets,
        entrance,
        admission,
        catalogue: world.parts().catalogue,
        rest: config.rest,
        gateway: config.gateway.clone(),
        features,
        models,
        parts,
        connections,
        max_body_bytes,
    };
    TestEdge { world, edge, tree }
}
