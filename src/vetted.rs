//! Where calls to providers may go: to public addresses, to this machine when it is named as such, and to hosts
//! the configuration allows by name. A name is looked up for each connection and what it leads to is looked at
//! then, so that a name cannot be vetted once and point into the network later.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use reqwest::{
    Url,
    dns::{Addrs, Name, Resolve, Resolving},
};
use url::Host;

/// Why an address is not connected to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{host} has only private or link-local addresses; if that is meant, add it to \
     model_calls.allowed_private_hosts"
)]
pub(crate) struct Refused {
    host: String,
}

/// No address is known by that name.
#[derive(Debug, thiserror::Error)]
#[error("{host} does not resolve")]
pub(crate) struct Unknown {
    host: String,
    #[source]
    cause: std::io::Error,
}

/// Why `url` cannot be the base of a provider's API, if it cannot.
pub(crate) fn fault(url: &str, allowed: &[String]) -> Option<String> {
    let url = match Url::parse(url) {
        Ok(url) => url,
        Err(error) => return Some(format!("no URL: {error}")),
    };
    let Some(host) = url.host() else {
        return Some("has no host".to_owned());
    };
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Some("must be a plain base URL, without credentials, query or fragment".to_owned());
    }
    let is_allowed = is_among(&host, allowed);
    let address = match host {
        Host::Domain(_) => None,
        Host::Ipv4(address) => Some(IpAddr::V4(address)),
        Host::Ipv6(address) => Some(IpAddr::V6(address)),
    };
    if let Some(address) = address
        && !is_allowed
        && !address.is_loopback()
        && !is_public(address)
    {
        return Some(Refused { host: address.to_string() }.to_string());
    }
    let is_guarded = url.scheme() == "https" || (url.scheme() == "http" && (is_allowed || stays_here(&host)));
    (!is_guarded).then(|| {
        "must be an https URL; http is taken for this machine, and for hosts of \
         model_calls.allowed_private_hosts"
            .to_owned()
    })
}

/// Whether the host is this machine by its name or address (RFC 6761 section 6.3).
pub(crate) fn stays_here(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => is_localhost(name),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether the host is one of `names`, which are names or addresses.
pub(crate) fn is_among(host: &Host<&str>, names: &[String]) -> bool {
    let host = host.to_string();
    let is_named = |name: &String| bare(&host).eq_ignore_ascii_case(bare(name));
    names.iter().any(is_named)
}

/// Without the brackets that IPv6 addresses have in URLs.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

/// Whether an address can be anybody's, rather than a machine's in some network. The ranges are those of the
/// IANA special-purpose address registries.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => embedded_v4(address).map_or_else(|| is_public_v6(address), is_public_v4),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    let is_special = matches!(
        (first, second, third),
        (0 | 10 | 127 | 224..=255, _, _)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (192, 0, 0 | 2)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !is_special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Global unicast, without the ranges for documentation, benchmarks and other uses of 2001::/23.
    let [first, second, ..] = address.segments();
    (0x2000..=0x3fff).contains(&first)
        && !(first == 0x2001 && (second < 0x200 || second == 0xdb8))
        && first != 0x3fff
}

/// The address an IPv6 one stands for, in the ways that are translated on the way.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| {
        let ([w, x], [y, z]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(w, x, y, z)
    };
    match (a, b) {
        (0, 0) if [c, d, e] == [0; 3] && (f == 0xffff || (f == 0 && g != 0)) => Some(v4(g, h)),
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => Some(v4(g, h)),
        (0x2002, _) => Some(v4(b, c)),
        _ => None,
    }
}

/// Looks names up and leaves out the addresses that are refused.
#[derive(Clone, Debug)]
pub(crate) struct VettedResolver {
    allowed: Arc<[String]>,
}

impl VettedResolver {
    pub(crate) fn new(allowed: &[String]) -> Self {
        Self { allowed: allowed.into() }
    }

    fn may_reach(&self, host: &str, address: IpAddr) -> bool {
        if self.allowed.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return true;
        }
        if is_localhost(host) { address.is_loopback() } else { is_public(address) }
    }

    async fn look_up(self, host: String) -> Result<Addrs, Box<dyn std::error::Error + Send + Sync>> {
        let found = tokio::net::lookup_host((host.as_str(), 0)).await.map(Iterator::collect);
        let found: Vec<SocketAddr> = match found {
            Ok(found) => found,
            Err(cause) => return Err(Box::new(Unknown { host, cause })),
        };
        let vetted: Vec<SocketAddr> =
            found.into_iter().filter(|address| self.may_reach(&host, address.ip())).collect();
        if vetted.is_empty() {
            return Err(Box::new(Refused { host }));
        }
        Ok(Box::new(vetted.into_iter()))
    }
}

impl Resolve for VettedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(self.clone().look_up(name.as_str().to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::anybody("8.8.8.8", true)]
    #[case::anybody_in_v6("2606:4700::1111", true)]
    #[case::this_machine("127.0.0.1", false)]
    #[case::private("10.1.2.3", false)]
    #[case::private_too("172.31.255.255", false)]
    #[case::not_private_any_more("172.32.0.1", true)]
    #[case::at_home("192.168.1.1", false)]
    #[case::a_clouds_metadata("169.254.169.254", false)]
    #[case::behind_a_carrier("100.100.0.1", false)]
    #[case::nowhere("0.0.0.0", false)]
    #[case::this_machine_in_v6("::1", false)]
    #[case::a_unique_local_one("fd00:ec2::254", false)]
    #[case::link_local("fe80::1", false)]
    #[case::metadata_mapped("::ffff:169.254.169.254", false)]
    #[case::metadata_translated("64:ff9b::a9fe:a9fe", false)]
    #[case::private_by_6to4("2002:0a00:0001::1", false)]
    #[case::a_public_one_mapped("::ffff:8.8.8.8", true)]
    fn an_address_is_public_or_not(#[case] address: &str, #[case] public: bool) {
        assert_eq!(is_public(address.parse().unwrap()), public);
    }

    #[rstest]
    #[case("https://api.example.com/v1", None)]
    #[case("http://127.0.0.1:8080", None)]
    #[case("http://[::1]:8080", None)]
    #[case("http://ollama.localhost:11434/v1", None)]
    #[case("http://10.0.0.5:8000/v1", None)]
    #[case("http://ollama.internal:8000/v1", None)]
    #[case("https://10.0.0.6", Some("10.0.0.6 has only private"))]
    #[case("https://[fe80::1]", Some("fe80::1 has only private"))]
    #[case("http://169.254.169.254/latest", Some("model_calls.allowed_private_hosts"))]
    #[case("http://api.example.com", Some("must be an https URL"))]
    #[case("ftp://api.example.com", Some("must be an https URL"))]
    #[case("https://user:word@api.example.com", Some("without credentials"))]
    #[case("api.example.com", Some("no URL"))]
    fn a_base_url_is_taken_or_refused_with_the_mend(#[case] url: &str, #[case] reason: Option<&str>) {
        let allowed = ["10.0.0.5".to_owned(), "Ollama.internal".to_owned()];
        match (fault(url, &allowed), reason) {
            (None, None) => {}
            (Some(fault), Some(reason)) => assert!(fault.contains(reason), "{fault}"),
            (fault, _) => panic!("{url}: {fault:?}"),
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_to_this_machine_is_refused_unless_it_is_allowed_or_says_so() {
        let resolver = |allowed: &[&str]| {
            VettedResolver::new(&allowed.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
        };
        let looked_up = |resolver: VettedResolver, host: &'static str| async move {
            resolver.look_up(host.to_owned()).await.map(Iterator::count)
        };
        assert!(looked_up(resolver(&[]), "localhost").await.unwrap() > 0);
        // An address as a name: what a resolver would say of a name that points there.
        let refused = looked_up(resolver(&[]), "127.0.0.1").await.unwrap_err();
        assert!(refused.is::<Refused>(), "{refused}");
        assert!(looked_up(resolver(&["127.0.0.1"]), "127.0.0.1").await.unwrap() > 0);
    }
}
