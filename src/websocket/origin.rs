//! Whose web page may open a socket. A browser always says where a page comes from and lets no page
//! lie about it; everything that is not a browser proves itself by its token alone.

/// Where an upgrade request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A page of this very server, or of a site the configuration names.
    Trusted,
    /// A page of somewhere else, or one that hides where it is from (`null`).
    Foreign,
    /// No browser, or no page: it needs a token.
    Absent,
}

impl Origin {
    /// Decides from the `Origin` and `Host` headers and `server.allowed_origins`.
    #[must_use]
    pub fn of(origin: Option<&str>, host: Option<&str>, allowed: &[String]) -> Self {
        let Some(origin) = origin else { return Self::Absent };
        let same_site = match (site(origin), host) {
            (Some((scheme, authority)), Some(host)) => without_default_port(scheme, authority)
                .eq_ignore_ascii_case(without_default_port(scheme, host)),
            _ => false,
        };
        let named = allowed
            .iter()
            .any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin.trim_end_matches('/')));
        if same_site || named { Self::Trusted } else { Self::Foreign }
    }
}

/// `https://example.com:8080` as scheme and authority; `None` for what a browser does not send.
fn site(origin: &str) -> Option<(&str, &str)> {
    let (scheme, authority) = origin.split_once("://")?;
    let plain = !authority.is_empty() && !authority.contains(['/', '@', '?', '#']);
    plain.then_some((scheme, authority))
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case::the_servers_own_page(Some("http://localhost:8080"), Some("localhost:8080"), Origin::Trusted)]
    #[case::case_does_not_matter(Some("HTTPS://Duologue.Example"), Some("duologue.example"), Origin::Trusted)]
    #[case::a_default_port_may_be_left_out(Some("https://d.example"), Some("d.example:443"), Origin::Trusted)]
    #[case::a_named_site(Some("https://app.example"), Some("d.example"), Origin::Trusted)]
    #[case::a_named_site_with_a_slash(Some("https://app.example/"), Some("d.example"), Origin::Trusted)]
    #[case::another_port(Some("http://localhost:3000"), Some("localhost:8080"), Origin::Foreign)]
    #[case::another_scheme_of_a_named_site(Some("http://app.example"), Some("d.example"), Origin::Foreign)]
    #[case::another_site(Some("https://evil.example"), Some("d.example"), Origin::Foreign)]
    #[case::a_longer_name(Some("https://d.example.evil.example"), Some("d.example"), Origin::Foreign)]
    #[case::a_user_part(Some("https://d.example@evil.example"), Some("d.example"), Origin::Foreign)]
    #[case::a_hidden_page(Some("null"), Some("d.example"), Origin::Foreign)]
    #[case::an_empty_origin(Some(""), Some(""), Origin::Foreign)]
    #[case::an_origin_without_authority(Some("http://"), Some(""), Origin::Foreign)]
    #[case::no_host(Some("https://d.example"), None, Origin::Foreign)]
    #[case::no_browser(None, Some("d.example"), Origin::Absent)]
    fn an_upgrade_is_judged_by_origin_and_host(
        #[case] origin: Option<&str>,
        #[case] host: Option<&str>,
        #[case] expected: Origin,
    ) {
        let allowed = ["https://app.example".to_owned()];
        assert_eq!(Origin::of(origin, host, &allowed), expected);
    }
}
