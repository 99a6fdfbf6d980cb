//! What groups, projects and users may be called: GitLab's rules, so that what is tried here can be made there.
//! They are those of GitLab's documentation, "Reserved project and group names".

const MAX_LENGTH: usize = 255;

/// The first parts of GitLab's own addresses.
const RESERVED_AT_THE_TOP: &[&str] = &[
    "-",
    ".well-known",
    "404.html",
    "422.html",
    "500.html",
    "502.html",
    "503.html",
    "admin",
    "api",
    "apple-touch-icon.png",
    "assets",
    "dashboard",
    "deploy.html",
    "explore",
    "favicon.ico",
    "favicon.png",
    "files",
    "groups",
    "health_check",
    "help",
    "import",
    "jwt",
    "login",
    "oauth",
    "profile",
    "projects",
    "public",
    "robots.txt",
    "s",
    "search",
    "sitemap",
    "sitemap.xml",
    "sitemap.xml.gz",
    "slash-command-logo.png",
    "snippets",
    "unsubscribes",
    "uploads",
    "users",
    "v2",
];

/// What follows a project in GitLab's own addresses.
const RESERVED_BELOW: &[&str] = &[
    "-",
    "badges",
    "blame",
    "blob",
    "builds",
    "commits",
    "create",
    "create_dir",
    "edit",
    "files",
    "find_file",
    "new",
    "preview",
    "raw",
    "refs",
    "tree",
    "update",
    "wikis",
];

/// The path of a top-level group.
pub(super) fn group(text: &str) -> Result<String, String> {
    if let Some((root, _)) = text.split_once('/') {
        return Err(format!(
            "only a top-level group has a plan and members of its own to set up; give {root:?}"
        ));
    }
    unreserved(text, RESERVED_AT_THE_TOP)
}

/// A username; GitLab has them beside the top-level groups.
pub(super) fn username(text: &str) -> Result<String, String> {
    unreserved(text, RESERVED_AT_THE_TOP)
}

/// The whole path of a project in `group`, given with the group or without.
pub(super) fn project(text: &str, group: &str) -> Result<String, String> {
    let within = text.strip_prefix(group).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text);
    for part in within.split('/') {
        unreserved(part, RESERVED_BELOW)?;
    }
    Ok(format!("{group}/{within}"))
}

/// The one of `known` that is `name` in other letters: GitLab's paths and usernames do not depend on case. `None`
/// also when `name` itself is known.
pub(super) fn differs_by_case<'k>(name: &str, mut known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let mut alike = None;
    let exact = known.any(|known| {
        if known.eq_ignore_ascii_case(name) && known != name {
            alike.get_or_insert(known);
        }
        known == name
    });
    if exact { None } else { alike }
}

fn unreserved(text: &str, reserved: &[&str]) -> Result<String, String> {
    if reserved.iter().any(|reserved| reserved.eq_ignore_ascii_case(text)) {
        return Err(format!("{text:?} is reserved: GitLab has pages of its own there"));
    }
    let is_special = |c: char| "_-.".contains(c);
    let has_two_in_a_row =
        text.chars().zip(text.chars().skip(1)).any(|(a, b)| is_special(a) && is_special(b));
    let reason = if text.is_empty() {
        "it is empty"
    } else if text.len() > MAX_LENGTH {
        "it has more than 255 characters"
    } else if !text.chars().all(|c| c.is_ascii_alphanumeric() || is_special(c)) {
        "it may have letters, digits, `_`, `-` and `.` only"
    } else if text.starts_with(is_special) || text.ends_with(is_special) {
        "it must begin and end with a letter or digit"
    } else if has_two_in_a_row {
        "it must not have two of `_`, `-` and `.` in a row"
    } else if text.ends_with(".git") || text.ends_with(".atom") {
        "it must not end in .git or .atom"
    } else {
        return Ok(text.to_owned());
    };
    Err(format!("{text:?} cannot be a name: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("demo2")]
    #[case("A")]
    #[case("my-group_1.x")]
    #[case("api2")]
    fn good(#[case] text: &str) {
        assert_eq!(group(text).unwrap(), text);
        assert_eq!(username(text).unwrap(), text);
    }

    #[rstest::rstest]
    #[case::empty("", "it is empty")]
    #[case::a_dash_at_its_beginning("-x", "begin and end")]
    #[case::a_dot_at_its_beginning(".x", "begin and end")]
    #[case::a_dot_at_its_end("x.", "begin and end")]
    #[case::two_dots("a..b", "in a row")]
    #[case::a_space("a b", "letters, digits")]
    #[case::other_letters("größe", "letters, digits")]
    #[case::a_line_break("a\nb", "letters, digits")]
    #[case::a_repository("x.git", ".git")]
    #[case::a_page_of_gitlabs("API", "reserved")]
    #[case::a_subgroup("demo/team", "top-level group")]
    fn bad(#[case] text: &str, #[case] said: &str) {
        let error = group(text).unwrap_err();
        assert!(error.contains(said), "{error}");
    }

    #[test]
    fn the_longest_name_has_255_characters() {
        assert!(group(&"x".repeat(255)).is_ok());
        assert!(group(&"x".repeat(256)).is_err());
    }

    #[test]
    fn a_name_in_other_letters_is_found_unless_the_very_name_is_there() {
        let alike = |name: &str, known: &[&'static str]| differs_by_case(name, known.iter().copied());
        assert_eq!(alike("G1", &["g0", "g1"]), Some("g1"));
        assert_eq!(alike("g1/Site", &["G1/site"]), Some("G1/site"));
        assert_eq!(alike("g1", &["G1", "g1"]), None);
        assert_eq!(alike("g1", &["g1", "G1"]), None);
        assert_eq!(alike("g1", &["g2", "g1/x"]), None);
    }

    #[test]
    fn a_project_is_given_with_its_group_or_without() {
        for text in ["demo/site", "site"] {
            assert_eq!(project(text, "demo").unwrap(), "demo/site");
        }
        assert_eq!(project("demo/team/site", "demo").unwrap(), "demo/team/site");
        for text in ["", "demo/", "demo/-", "a//b", "demo/tree", "../x"] {
            assert!(project(text, "demo").is_err(), "{text}");
        }
    }
}
