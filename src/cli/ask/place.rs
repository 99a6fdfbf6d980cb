//! Where the question goes: to the server at the configured address, or to one inside this process.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::error::AskError;
use crate::{
    app::{App, AppError, RunError},
    config::Config,
    storage::OpenError,
};

/// A server on this machine answers at once or is none.
const PROBE: Duration = Duration::from_secs(1);
/// How long another process may keep the data folder: an answer that streams, a server that starts.
const FOLDER_PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked whether the folder is free, or a server there.
const FOLDER_PAUSE: Duration = Duration::from_millis(200);
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
        let inside = inside(config);
        let find = async || {
            if is_duologue(address).await { Ok(Self::There(address)) } else { Self::open(&inside).await }
        };
        Ok(once_free(address, find).await?)
    }

    /// A server of our own.
    async fn open(config: &Config) -> Result<Self, AppError> {
        let server = App::start(config).await?;
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

/// Tries again while another process has the data folder; that may be one that is about to leave it, as a
/// second `ask` is, or one that is about to answer at `address`.
async fn once_free<T>(
    address: SocketAddr,
    mut attempt: impl AsyncFnMut() -> Result<T, AppError>,
) -> Result<T, AskError> {
    let limit = Instant::now() + FOLDER_PATIENCE;
    loop {
        match attempt().await {
            Ok(found) => return Ok(found),
            Err(AppError::Storage(OpenError::Held { folder, holder })) if Instant::now() >= limit => {
                return Err(AskError::Elsewhere { holder, folder, address });
            }
            Err(AppError::Storage(OpenError::Held { .. })) => tokio::time::sleep(FOLDER_PAUSE).await,
            Err(error) => return Err(error.into()),
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
pub(in crate::cli) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// Whether Duologue answers there. Other servers have a liveness page too, GitLab's own among them.
pub(in crate::cli) async fn is_duologue(address: SocketAddr) -> bool {
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
    use crate::{
        env_file::Environment,
        storage::{Holder, Shelf, Storage},
    };

    fn held() -> AppError {
        AppError::Storage(OpenError::Held { folder: "data".into(), holder: Holder(Some(7)) })
    }

    fn address() -> SocketAddr {
        "127.0.0.1:8080".parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_is_left_soon_is_waited_for() {
        let begun = Instant::now();
        let found = once_free(address(), async || {
            if begun.elapsed() < Duration::from_secs(4) { Err(held()) } else { Ok("found") }
        });
        assert_eq!(found.await.unwrap(), "found");
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_is_kept_is_given_up_with_the_way_to_its_server() {
        let begun = Instant::now();
        let error = once_free(address(), async || Err::<(), _>(held())).await.unwrap_err();
        assert!(begun.elapsed() < FOLDER_PATIENCE + Duration::from_secs(1));
        assert_eq!(
            error.to_string(),
            "process 7 has the data folder data, but no server answers at 127.0.0.1:8080 (server.listen); if \
             one runs elsewhere, set DUOLOGUE__SERVER__LISTEN to its address"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn another_mistake_is_told_at_once() {
        let mut attempts = 0;
        let mistake = || AppError::Faults(crate::document::Fault::of_file("f", "wrong").into());
        let outcome = once_free(address(), async || {
            attempts += 1;
            Err::<(), _>(mistake())
        });
        assert_eq!(outcome.await.unwrap_err().to_string(), "f: wrong");
        assert_eq!(attempts, 1);
    }

    #[test]
    fn the_server_inside_starts_when_the_folder_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = Config::from_layers(None, &Environment::default()).unwrap();
        config.server.listen = nobody;
        config.storage.path = folder.path().to_owned();
        let other = Storage::open(&config.storage, config.conversation.limits(), Shelf::Messages).unwrap();
        actix_rt::System::new().block_on(async {
            let leaves = async {
                // Long enough for a first attempt to be refused.
                tokio::time::sleep(FOLDER_PAUSE).await;
                other.close().await;
            };
            let (place, ()) = tokio::join!(Place::find(&config), leaves);
            let place = place.unwrap();
            assert!(matches!(place, Place::Here { .. }));
            place.leave().await;
        });
    }

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
