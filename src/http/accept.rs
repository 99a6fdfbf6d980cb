//! Content negotiation of the GraphQL endpoint, as "GraphQL over HTTP" has it.

/// How a response is labelled; it decides the status of a request that was not executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// `application/json`: 200 for whatever GraphQL says.
    Json,
    /// `application/graphql-response+json`: the status says whether the request was executed.
    GraphqlResponse,
}

impl ResponseType {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json; charset=utf-8",
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
        }
    }

    /// The type a client likes best; of types it likes equally the one it names first. `None` when it
    /// takes neither. Without a preference it is JSON, which every client reads.
    #[must_use]
    pub fn accepted_by(accept: Option<&str>) -> Option<Self> {
        let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
            return Some(Self::Json);
        };
        let ranges: Vec<_> = accept.split(',').filter_map(Range::parse).collect();
        let quality = |kind: Self| {
            let matching = ranges.iter().filter_map(|range| Some((range.specificity(kind)?, range.quality)));
            matching.max_by_key(|(specificity, _)| *specificity).map_or(0, |(_, quality)| quality)
        };
        let named = |kind: Self| ranges.iter().position(|range| range.specificity(kind) == Some(2));
        let first = match (named(Self::Json), named(Self::GraphqlResponse)) {
            (None, Some(_)) => Self::GraphqlResponse,
            (Some(json), Some(graphql)) if graphql < json => Self::GraphqlResponse,
            _ => Self::Json,
        };
        let second = if first == Self::Json { Self::GraphqlResponse } else { Self::Json };
        let (best, other) = (quality(first), quality(second));
        match (best, other) {
            (0, 0) => None,
            (best, other) if other > best => Some(second),
            _ => Some(first),
        }
    }
}

/// Whether a body of this `Content-Type` is JSON in UTF-8.
#[must_use]
pub fn is_json(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else {
        return false;
    };
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && parts.all(|parameter| match parameter.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
                let charset = value.trim().trim_matches('"');
                charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
            }
            _ => true,
        })
}

struct Range<'a> {
    kind: &'a str,
    /// In thousandths, as HTTP allows three digits.
    quality: u16,
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().filter(|kind| !kind.is_empty())?;
        let mut quality = 1_000;
        for parameter in parts {
            match parameter.split_once('=') {
                Some((name, value)) if name.trim().eq_ignore_ascii_case("q") => quality = thousandths(value)?,
                // JSON is UTF-8; who asks for another charset of it is not understood.
                Some((name, value))
                    if name.trim().eq_ignore_ascii_case("charset")
                        && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8") =>
                {
                    return None;
                }
                _ => {}
            }
        }
        Some(Self { kind, quality })
    }

    /// How exactly it names a type: not at all, `*/*`, `application/*`, the type itself.
    fn specificity(&self, response: ResponseType) -> Option<u8> {
        let name = match response {
            ResponseType::Json => "application/json",
            ResponseType::GraphqlResponse => "application/graphql-response+json",
        };
        match self.kind {
            "*/*" => Some(0),
            kind if kind.eq_ignore_ascii_case("application/*") => Some(1),
            kind if kind.eq_ignore_ascii_case(name) => Some(2),
            _ => None,
        }
    }
}

fn thousandths(text: &str) -> Option<u16> {
    let value: f32 = text.trim().parse().ok()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
    (0.0..=1.0).contains(&value).then_some((value * 1_000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case(None, Some(ResponseType::Json))]
    #[case(Some(""), Some(ResponseType::Json))]
    #[case(Some("*/*"), Some(ResponseType::Json))]
    #[case(Some("application/*"), Some(ResponseType::Json))]
    #[case(Some("application/json"), Some(ResponseType::Json))]
    #[case(Some("application/json; charset=utf-8"), Some(ResponseType::Json))]
    #[case(Some("application/graphql-response+json"), Some(ResponseType::GraphqlResponse))]
    #[case(Some("application/graphql-response+json, application/json"), Some(ResponseType::GraphqlResponse))]
    #[case(Some("application/json, application/graphql-response+json"), Some(ResponseType::Json))]
    #[case(Some("application/graphql-response+json;q=0.5, application/json;q=0.9"), Some(ResponseType::Json))]
    #[case(
        Some("application/graphql-response+json, application/json;q=0.9, */*;q=0.1"),
        Some(ResponseType::GraphqlResponse)
    )]
    #[case(Some("text/html, */*;q=0.1"), Some(ResponseType::Json))]
    #[case(Some("text/html"), None)]
    #[case(Some("application/json;q=0"), None)]
    #[case(Some("*/*, application/json;q=0"), Some(ResponseType::GraphqlResponse))]
    #[case(Some("application/json; charset=latin1"), None)]
    fn the_type_the_client_likes_best_is_chosen(
        #[case] accept: Option<&str>,
        #[case] chosen: Option<ResponseType>,
    ) {
        assert_eq!(ResponseType::accepted_by(accept), chosen);
    }

    #[rstest::rstest]
    #[case(Some("application/json"), true)]
    #[case(Some("application/JSON; Charset=\"UTF-8\""), true)]
    #[case(Some("application/json; charset=latin1"), false)]
    #[case(Some("text/plain"), false)]
    #[case(Some("application/x-www-form-urlencoded"), false)]
    #[case(Some("application/jsonp"), false)]
    #[case(None, false)]
    fn only_json_in_utf_8_is_taken(#[case] content_type: Option<&str>, #[case] taken: bool) {
        assert_eq!(is_json(content_type), taken);
    }
}
