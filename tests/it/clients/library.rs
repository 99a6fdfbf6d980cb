//! The libraries under test, and in what they differ.

use duologue_harness::server::TestServer;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Library {
    GraphqlWs,
    Apollo,
    Urql,
    Relay,
    RailsActioncable,
    AnycableCore,
    /// The one for Python.
    Gql,
}

impl Library {
    /// Its adapter in `tests/clients`.
    pub fn adapter(self) -> &'static str {
        match self {
            Self::GraphqlWs => "graphql-ws",
            Self::Apollo => "apollo",
            Self::Urql => "urql",
            Self::Relay => "relay",
            Self::RailsActioncable => "actioncable",
            Self::AnycableCore => "anycable",
            Self::Gql => "gql",
        }
    }

    /// Where its websockets go.
    pub fn path(self) -> &'static str {
        match self {
            Self::RailsActioncable | Self::AnycableCore => "/-/cable",
            _ => "/api/graphql",
        }
    }

    /// What the server's messages have in them that bring a result of a subscription, and no others.
    pub fn mark_of_a_result(self) -> &'static str {
        match self {
            Self::RailsActioncable | Self::AnycableCore => "\"result\":",
            _ => "\"type\":\"next\"",
        }
    }

    /// Whether a subscription outlives its connection, so that the page does not even notice; else its user makes it
    /// again, with the last cursor, and not when the answer has come.
    pub fn subscribes_again_by_itself(self) -> bool {
        self != Self::Gql
    }

    /// The address of its websockets on `address`.
    pub fn url_at(self, address: std::net::SocketAddr) -> String {
        format!("ws://{address}{}", self.path())
    }

    pub fn url(self, server: &TestServer) -> String {
        self.url_at(server.address())
    }
}
