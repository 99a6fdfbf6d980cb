//! Where the question goes: to the server at the configured address, or to one inside this process.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, RunError},
    config::Config,
};

/// A server on this machine answers at once or is none.
const PROBE: Duration = Duration::from_secs(1);
/// How long a server inside the process may take to end; nobody else uses it.
const DRAIN_SECONDS: u64 = 1;

pub(super) enum Place {
    /// A server that was running already.
    There(SocketAddr),
    /// A server of our own.
    Here { address: SocketAddr, stop: CancellationToken, running: JoinHandle<Result<(), RunError>> },
}

impl Place {
    pub(super) async fn find(config: &Config) -> anyhow::Result<Self> {
        let address = reachable(config.server.listen);
        if is_duologue(address).await {
            return Ok(Self::There(address));
        }
        let server = App::start(&inside(config)).await?;
        let (address, stop) = (server.address(), CancellationToken::new());
        let running = actix_rt::spawn(server.run_until(stop.clone().cancelled_owned()));
        Ok(Self::Here { address, stop, running })
    }

    pub(super) fn address(&self) -> SocketAddr {
        match self {
            Self::There(address) | Self::Here { address, .. } => *address,
        }
    }

    /// Ends the server if it is ours.
    pub(super) async fn leave(self) {
        let Self::Here { stop, running, .. } = self else {
            return;
        };
        stop.cancel();
        let grace = Duration::from_secs(DRAIN_SECONDS) + PROBE;
        match tokio::time::timeout(grace, running).await {
            Ok(Ok(Ok(()))) => {}
            // The answer is printed; what is left to say is for the logs.
            ended => tracing::warn!(?ended, "the server inside the process did not end in order"),
        }
    }
}

/// The settings of a server for one question: any free port, seen by this machine only.
fn inside(config: &Config) -> Config {
    let mut config = config.clone();
    config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.server.drain_seconds = DRAIN_SECONDS;
    config
}

/// A server that listens on every address is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Whether Duologue answers there. Other servers have a liveness page too, GitLab's own among them.
async fn is_duologue(address: SocketAddr) -> bool {
    let Ok(http) = reqwest::Client::builder().no_proxy().timeout(PROBE).build() else {
        return false;
    };
    let Ok(response) = http.get(format!("http://{address}/-/liveness")).send().await else {
        return false;
    };
    let Ok(body) = response.bytes().await else {
        return false;
    };
    says_duologue(&body)
}

fn says_duologue(body: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(body)
        .is_ok_and(|body| body.get("service").is_some_and(|service| service == "duologue"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env_file::Environment;

    #[test]
    fn an_unspecified_address_is_reached_on_loopback() {
        for (listen, address) in [
            ("0.0.0.0:80", "127.0.0.1:80"),
            ("[::]:80", "[::1]:80"),
            ("192.0.2.7:80", "192.0.2.7:80"),
            ("127.0.0.1:80", "127.0.0.1:80"),
        ] {
            assert_eq!(reachable(listen.parse().unwrap()), address.parse().unwrap());
        }
    }

    #[test]
    fn the_server_inside_takes_a_free_port_of_this_machine() {
        let variables =
            [("DUOLOGUE__SERVER__LISTEN", "0.0.0.0:80"), ("DUOLOGUE__AUTH__DEVELOPMENT_TOKENS", "false")];
        let config = Config::from_layers(None, &variables.into_iter().collect::<Environment>()).unwrap();
        assert_eq!(inside(&config).server.listen, "127.0.0.1:0".parse().unwrap());
    }

    #[test]
    fn another_servers_liveness_page_is_not_taken_for_ours() {
        assert!(says_duologue(br#"{"status":"ok","service":"duologue"}"#));
        assert!(!says_duologue(br#"{"status":"ok"}"#));
        assert!(!says_duologue(b"GitLab OK"));
    }
}
