//! `Idempotency-Key`: the name a client gives to what it asks for, so that it may ask again, after a connection that
//! broke, without being answered twice. The header is the one of the IETF's draft of that name and of many APIs; its
//! value is taken as it is, with or without quotes.

use actix_web::http::header::HeaderMap;

use super::error::Refused;

const NAME: &str = "idempotency-key";

/// The key, if there is one, of at most so many characters.
///
/// # Errors
/// When it is there and cannot be a key. Going on without it could ask twice.
pub(super) fn of(headers: &HeaderMap, max_characters: usize) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(NAME);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refused::IdempotencyKey("is there twice"));
    }
    // Visible ASCII is what a header can hold on every path.
    let key =
        value.to_str().map_err(|_| Refused::IdempotencyKey("holds more than visible ASCII characters"))?;
    match key.trim() {
        "" => Err(Refused::IdempotencyKey("is empty")),
        key if key.len() > max_characters => {
            Err(Refused::IdempotencyKey("is longer than graphql.max_label_characters"))
        }
        key => Ok(Some(key.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn of_values(values: &[&str]) -> Result<Option<String>, Refused> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HeaderName::from_static(NAME), HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        of(&headers, 10)
    }

    #[rstest::rstest]
    #[case(&[], None)]
    #[case(&["0123456789"], Some("0123456789"))]
    #[case(&[" a b "], Some("a b"))]
    #[case(&["\"a\""], Some("\"a\""))]
    fn a_key_is_taken_as_it_is(#[case] values: &[&str], #[case] key: Option<&str>) {
        assert_eq!(of_values(values).unwrap().as_deref(), key);
    }

    #[rstest::rstest]
    #[case(&["a", "a"], "is there twice")]
    #[case(&[""], "is empty")]
    #[case(&["  "], "is empty")]
    #[case(&["ü"], "holds more than visible ASCII characters")]
    #[case(&["01234567890"], "is longer than graphql.max_label_characters")]
    fn what_cannot_be_a_key_is_refused_and_named(#[case] values: &[&str], #[case] why: &'static str) {
        assert_eq!(of_values(values).unwrap_err(), Refused::IdempotencyKey(why));
    }
}
