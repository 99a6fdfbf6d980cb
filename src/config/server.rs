use std::{net::SocketAddr, time::Duration};

use garde::Validate;
use serde::Deserialize;

/// The listening socket, its limits, and how the process stops.
#[derive(Clone, Debug, Deserialize, Validate)]
#[cfg_attr(test, derive(serde::Serialize))]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    #[garde(skip)]
    pub listen: SocketAddr,
    #[garde(range(min = 1, max = 256))]
    pub workers: usize,
    #[garde(inner(custom(is_an_origin)))]
    pub allowed_origins: Vec<String>,
    #[garde(range(min = 1))]
    pub max_connections: usize,
    #[garde(range(min = 1))]
    pub max_new_connections_per_second: usize,
    #[garde(range(min = 1_024))]
    pub max_body_bytes: usize,
    #[garde(range(min = 1, max = 300))]
    pub head_seconds: u64,
    #[garde(range(min = 4_096))]
    pub send_buffer_bytes: usize,
    #[garde(range(min = 1, max = 3_600))]
    pub user_timeout_seconds: u64,
    #[garde(range(max = 3_600))]
    pub drain_seconds: u64,
    #[garde(custom(is_a_version))]
    pub advertised_version: String,
}

impl ServerConfig {
    #[must_use]
    pub fn head(&self) -> Duration {
        Duration::from_secs(self.head_seconds)
    }

    #[must_use]
    pub fn user_timeout(&self) -> Duration {
        Duration::from_secs(self.user_timeout_seconds)
    }

    #[must_use]
    pub fn drain(&self) -> Duration {
        Duration::from_secs(self.drain_seconds)
    }
}

/// Browsers send an origin as scheme, host and port only; anything more would never match.
fn is_an_origin(origin: &str, _context: &()) -> garde::Result {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    match host {
        Some(host) if !host.is_empty() && !host.contains(['/', '?', '#', '*', '@', ' ']) => Ok(()),
        _ => Err(garde::Error::new(format!(
            "{origin:?} is not an origin: write scheme, host and port, such as https://gitlab.example.com"
        ))),
    }
}

/// Clients parse it, and fall back to their oldest protocol when they cannot.
fn is_a_version(version: &str, _context: &()) -> garde::Result {
    match semver::Version::parse(version) {
        Ok(_) => Ok(()),
        Err(_) => Err(garde::Error::new(format!("{version:?} is not a version such as 18.6.0"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for origin in ["https://gitlab.example.com", "http://127.0.0.1:3000"] {
            assert!(is_an_origin(origin, &()).is_ok(), "{origin}");
        }
        for origin in ["gitlab.example.com", "https://", "https://a.example/path", "https://a.example/", "*"]
        {
            assert!(is_an_origin(origin, &()).is_err(), "{origin}");
        }
    }
}
