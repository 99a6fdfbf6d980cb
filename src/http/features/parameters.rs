//! What `POST /api/v4/features/:name` is told, from a query string, a form or JSON.
//!
//! GitLab's server drops parameters it does not know. Here they are refused: `users=alice` for `user=alice`
//! would otherwise switch the flag for everyone.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt,
};

use actix_web::{HttpRequest, http::header::CONTENT_TYPE, web};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

use super::{
    Refusal,
    targets::{Named, Wish},
};
use crate::{flags::Percentage, http::accept::is_json};

const FORM: &str = "application/x-www-form-urlencoded";

/// Parameters that name actors.
const ACTORS: [&str; 4] = ["user", "group", "namespace", "project"];
const FEATURE_GROUP: &str = "feature_group";
/// All others. `name` is in the path too, and that one counts.
const OTHERS: [&str; 4] = ["value", "key", "force", "name"];
/// Parameters of GitLab for actors that there are none of here.
const OF_GITLAB: [&str; 4] = ["organization", "repository", "runner", "endpoint"];

/// Each name and its one text.
#[derive(Debug, Default)]
pub(super) struct Parameters(BTreeMap<String, String>);

impl Parameters {
    pub fn read(request: &HttpRequest, body: &[u8]) -> Result<Self, Refusal> {
        let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let mut given = Self::default();
        given.add_form(request.query_string())?;
        match content_type {
            _ if body.is_empty() => {}
            content_type if is_json(content_type) => given.add_json(body)?,
            Some(content_type) if is_form(content_type) => {
                given.add_form(std::str::from_utf8(body).map_err(|_| unreadable())?)?;
            }
            _ => return Err(Refusal::MediaType),
        }
        given.check()?;
        Ok(given)
    }

    pub fn force(&self) -> Result<bool, Refusal> {
        match self.get("force") {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(invalid("force")),
        }
    }

    /// What is wanted of the flag, by the rules of GitLab's `SetFeatureFlagService`: 100 is on and 0 is off
    /// whatever the key, and a percentage without a key is one of time.
    pub fn wish(&self, flag: &str) -> Result<Wish, Refusal> {
        let value = self.get("value").ok_or_else(|| Refusal::Parameter("value is missing".to_owned()))?;
        let cannot = || {
            let value: String = value.chars().take(32).collect();
            Refusal::BadRequest(format!("Cannot set '{flag}' to {value:?}"))
        };
        let on = match value {
            "true" | "100" | "100.0" => Some(true),
            "false" | "0" | "0.0" => Some(false),
            _ => None,
        };
        let targets = self.targets()?;
        if !targets.is_empty() {
            return Ok(Wish::For(targets, on.ok_or_else(cannot)?));
        }
        if let Some(on) = on {
            return Ok(Wish::Everyone(on));
        }
        let percentage: Percentage = value.parse().map_err(|_| cannot())?;
        match self.get("key") {
            Some("percentage_of_actors") => Ok(Wish::PercentageOfActors(percentage)),
            _ => Ok(Wish::PercentageOfTime(percentage)),
        }
    }

    fn targets(&self) -> Result<Vec<Named>, Refusal> {
        let mut targets = Vec::new();
        for parameter in ACTORS {
            let Some(list) = self.get(parameter) else { continue };
            for name in list.split(',').map(|name| name.trim().to_owned()) {
                if name.is_empty() {
                    return Err(invalid(parameter));
                }
                targets.push(match parameter {
                    "user" => Named::User(name),
                    "project" => Named::Project(name),
                    _ => Named::Group(name),
                });
            }
        }
        targets.extend(self.get(FEATURE_GROUP).map(|name| Named::FeatureGroup(name.to_owned())));
        Ok(targets)
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    fn add_form(&mut self, text: &str) -> Result<(), Refusal> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(text).map_err(|_| unreadable())?;
        pairs.into_inner().into_iter().try_for_each(|(name, text)| self.add(name, text))
    }

    /// GitLab's server takes the last text. Here `user=alice&user=bob` is a slip: who means both, says
    /// `user=alice,bob`.
    fn add(&mut self, name: String, text: String) -> Result<(), Refusal> {
        match self.0.entry(name) {
            Entry::Vacant(free) => drop(free.insert(text)),
            Entry::Occupied(taken) if *taken.get() == text => {}
            Entry::Occupied(taken) => {
                let name = shortened(taken.key());
                return Err(Refusal::Parameter(format!("{name} is given twice, and not the same")));
            }
        }
        Ok(())
    }

    fn add_json(&mut self, body: &[u8]) -> Result<(), Refusal> {
        let Fields(fields) = serde_json::from_slice(body).map_err(|_| unreadable())?;
        for (name, value) in fields {
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text,
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => return Err(invalid(&name)),
            };
            self.add(name, text)?;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Refusal> {
        for name in self.0.keys().map(String::as_str) {
            if OF_GITLAB.contains(&name) {
                return Err(Refusal::Parameter(format!(
                    "{name} is not supported: a flag has no such actors here"
                )));
            }
            if !ACTORS.contains(&name) && !OTHERS.contains(&name) && name != FEATURE_GROUP {
                let name = shortened(name);
                return Err(Refusal::Parameter(format!("{name} is not a parameter of this request")));
            }
        }
        if let Some(key) = self.get("key") {
            if !["percentage_of_actors", "percentage_of_time"].contains(&key) {
                return Err(Refusal::Parameter("key does not have a valid value".to_owned()));
            }
            let excluded = [FEATURE_GROUP].into_iter().chain(ACTORS).find(|name| self.get(name).is_some());
            if let Some(name) = excluded {
                return Err(Refusal::Parameter(format!("key, {name} are mutually exclusive")));
            }
        }
        Ok(())
    }
}

/// An object's fields in their order, also those of the same name.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;

        impl<'de> Visitor<'de> for OfObject {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(OfObject)
    }
}

fn is_form(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM))
}

fn invalid(name: &str) -> Refusal {
    Refusal::Parameter(format!("{} is invalid", shortened(name)))
}

fn shortened(name: &str) -> String {
    name.chars().take(32).collect()
}

fn unreadable() -> Refusal {
    Refusal::BadRequest("the parameters cannot be read".to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use rstest::rstest;

    use super::*;

    fn read(query: &str, content_type: &str, body: &str) -> Result<Wish, Refusal> {
        let request = TestRequest::post()
            .uri(&format!("/api/v4/features/a?{query}"))
            .insert_header((CONTENT_TYPE, content_type))
            .to_http_request();
        Parameters::read(&request, body.as_bytes())?.wish("a")
    }

    fn percentage(value: f64) -> Percentage {
        Percentage::new(value).unwrap()
    }

    const JSON: &str = "application/json";

    #[rstest]
    #[case("value=true", FORM, "")]
    #[case("", FORM, "value=true")]
    #[case("", "application/x-www-form-urlencoded; charset=UTF-8", "value=100&name=a")]
    #[case("", JSON, r#"{"value": true, "user": null}"#)]
    #[case("", JSON, r#"{"value": 100, "force": false}"#)]
    #[case("value=true", JSON, r#"{"value": true, "value": "true"}"#)]
    fn a_wish_comes_in_a_query_a_form_or_json(
        #[case] query: &str,
        #[case] content_type: &str,
        #[case] body: &str,
    ) {
        assert_eq!(read(query, content_type, body), Ok(Wish::Everyone(true)));
    }

    #[rstest]
    #[case("value=0", Wish::Everyone(false))]
    #[case("value=0&key=percentage_of_actors", Wish::Everyone(false))]
    #[case("value=100&key=percentage_of_time", Wish::Everyone(true))]
    #[case("value=30", Wish::PercentageOfTime(percentage(30.0)))]
    #[case("value=0.5&key=percentage_of_time", Wish::PercentageOfTime(percentage(0.5)))]
    #[case("value=42&key=percentage_of_actors", Wish::PercentageOfActors(percentage(42.0)))]
    fn numbers_are_what_they_are_at_gitlab(#[case] query: &str, #[case] wish: Wish) {
        assert_eq!(read(query, FORM, ""), Ok(wish));
    }

    #[test]
    fn several_actors_are_named_in_one_request() {
        let wish =
            read("value=true&user=alice,%20bob&project=demo/website", FORM, "group=demo&feature_group=t");
        let named = vec![
            Named::User("alice".to_owned()),
            Named::User("bob".to_owned()),
            Named::Group("demo".to_owned()),
            Named::Project("demo/website".to_owned()),
            Named::FeatureGroup("t".to_owned()),
        ];
        assert_eq!(wish, Ok(Wish::For(named, true)));
        let namespace = read("value=false&namespace=demo", FORM, "");
        assert_eq!(namespace, Ok(Wish::For(vec![Named::Group("demo".to_owned())], false)));
    }

    #[rstest]
    #[case("", FORM, "", "value is missing")]
    #[case("value=true&key=percentage", FORM, "", "key does not have a valid value")]
    #[case("value=5&key=percentage_of_actors&user=alice", FORM, "", "key, user are mutually exclusive")]
    #[case("value=true&users=alice", FORM, "", "users is not a parameter of this request")]
    #[case("value=true&repository=a.git", FORM, "", "repository is not supported")]
    #[case("value=true&user=", FORM, "", "user is invalid")]
    #[case("value=true&user=alice,,bob", FORM, "", "user is invalid")]
    #[case("", JSON, r#"{"value": true, "user": ["alice"]}"#, "user is invalid")]
    #[case("value=true&user=alice&user=bob", FORM, "", "user is given twice, and not the same")]
    #[case("value=true", FORM, "user=alice&user=bob", "user is given twice")]
    #[case("value=true&user=alice", FORM, "user=bob", "user is given twice")]
    #[case("value=false", JSON, r#"{"value": true}"#, "value is given twice")]
    #[case("", JSON, r#"{"value": true, "user": "alice", "user": "bob"}"#, "user is given twice")]
    fn a_parameter_that_is_not_as_it_should_be_is_named(
        #[case] query: &str,
        #[case] content_type: &str,
        #[case] body: &str,
        #[case] said: &str,
    ) {
        let Err(Refusal::Parameter(error)) = read(query, content_type, body) else {
            panic!("not refused: {:?}", read(query, content_type, body));
        };
        assert!(error.starts_with(said), "{error}");
    }

    #[rstest]
    #[case("value=perhaps")]
    #[case("value=101")]
    #[case("value=-5")]
    #[case("value=opt_out&user=alice")]
    #[case("value=50&user=alice")]
    fn a_value_that_means_nothing_is_refused_in_gitlabs_words(#[case] query: &str) {
        let Err(Refusal::BadRequest(error)) = read(query, FORM, "") else { panic!("not refused") };
        assert!(error.starts_with("Cannot set 'a' to "), "{error}");
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert_eq!(read("", JSON, "{"), Err(unreadable()));
        assert_eq!(read("", JSON, "[]"), Err(unreadable()));
        assert_eq!(read("", "text/plain", "value=true"), Err(Refusal::MediaType));
        assert_eq!(read("", "multipart/form-data; boundary=x", "--x"), Err(Refusal::MediaType));
        let request = TestRequest::post().uri("/?force=perhaps&value=1").to_http_request();
        assert_eq!(Parameters::read(&request, b"").unwrap().force(), Err(invalid("force")));
    }
}
