//! What the security page says is shown by tests: each test it names is there.

use std::{fs, path::Path};

#[test]
fn every_test_the_security_page_names_is_there() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(repository.join("docs/security.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 100, "the page is not read as it is written: {named:?}");
    for (file, test) in named {
        let text =
            fs::read_to_string(repository.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(text.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}

/// The tests in the last cells of the page's tables, each after its file: `` `file.rs`: `one`, `another` ``.
fn named(page: &str) -> Vec<(&str, &str)> {
    let mut named = Vec::new();
    let rows =
        page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.rsplit_once(" | "));
    for (_, cell) in rows {
        let mut file = None;
        for word in cell.split('`').skip(1).step_by(2) {
            match file {
                _ if word.ends_with(".rs") => file = Some(word),
                Some(file) => named.push((file, word)),
                None => panic!("{word} comes before its file"),
            }
        }
    }
    named
}
