//! How an instance stands with what lies on its disk.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::*;
use crate::licence::{SigningKey, issue, tests::terms};
use crate::private_file;

/// A folder with a public key, and the private one.
fn issuer() -> (TempDir, SigningKey, LicenceConfig) {
    let folder = tempfile::tempdir().unwrap();
    let key = SigningKey::generate().unwrap();
    let config = LicenceConfig {
        path: folder.path().join("data/licence.jwt"),
        public_key: Some(folder.path().join("acme.pub.pem")),
    };
    private_file::put(&folder.path().join("acme.pub.pem"), &key.public().to_pem()).unwrap();
    (folder, key, config)
}

fn now() -> SystemTime {
    calendar::parse("2026-06-01").unwrap()
}

fn said(instance: &Instance) -> String {
    instance.reload();
    instance.in_force(now()).unwrap_err().to_string()
}

#[test]
fn whatever_is_wrong_is_said_with_its_place_and_its_mend() {
    let (folder, key, config) = issuer();
    let instance = Instance::load(config.clone());
    let mend = "`duologue licence upload FILE`";
    let nowhere = said(&instance);
    assert!(nowhere.contains("there is no licence at ") && nowhere.contains(mend), "{nowhere}");

    private_file::put(&config.path, "nonsense").unwrap();
    let nonsense = said(&instance);
    assert!(nonsense.contains("licence.jwt: it is no licence: it has not the form of one"), "{nonsense}");
    assert!(nonsense.contains(mend), "{nonsense}");

    let good = issue(terms("2026-01-01", "2027-01-01"), now(), &key).unwrap();
    private_file::put(&config.path, &good).unwrap();
    fs::write(folder.path().join("acme.pub.pem"), "no key").unwrap();
    let no_pem = said(&instance);
    assert!(no_pem.contains("licence.public_key: ") && no_pem.contains("is no PEM file"), "{no_pem}");
    let without = Instance::load(LicenceConfig { public_key: None, ..config.clone() });
    assert!(said(&without).starts_with("licence.public_key is not set"));

    fs::write(folder.path().join("acme.pub.pem"), SigningKey::generate().unwrap().public().to_pem()).unwrap();
    assert!(said(&instance).contains("it was issued by another key"));
    fs::write(folder.path().join("acme.pub.pem"), key.public().to_pem()).unwrap();
    instance.reload();
    assert_eq!(instance.in_force(now()).unwrap().terms.licensee, "ACME");

    fs::write(&config.path, [0xff; 9]).unwrap();
    assert!(said(&instance).contains("licence.jwt: it is no licence: it is no text, or far too long"));
    make_unreadable(&config.path);
    assert!(said(&instance).contains("the licence cannot be read"));
}

/// A folder in the place of a file: it can be opened, and reading it fails.
fn make_unreadable(path: &Path) {
    fs::remove_file(path).unwrap();
    fs::create_dir(path).unwrap();
}

#[rstest::rstest]
#[case::the_licence("data/licence.jwt", "the licence cannot be read")]
#[case::the_key("acme.pub.pem", "acme.pub.pem cannot be read")]
fn while_one_cannot_be_read_the_licence_of_before_is_in_force_until_its_end(
    #[case] file: &str,
    #[case] said: &str,
) {
    let (folder, key, config) = issuer();
    private_file::put(&config.path, &issue(terms("2026-01-01", "2027-01-01"), now(), &key).unwrap()).unwrap();
    let instance = Instance::load(config.clone());
    let before = instance.status(now());
    assert_eq!(before.concern(), None);

    let path = folder.path().join(file);
    let text = fs::read(&path).unwrap();
    make_unreadable(&path);
    for _ in 0..2 {
        instance.reload();
        let concern = instance.status(now()).concern().unwrap();
        assert!(concern.starts_with("the licence that was read before stays in force"), "{concern}");
        assert!(concern.contains(said), "{concern}");
        assert_ne!(Standing::of(&instance.status(now())), Standing::of(&before), "it is logged");
    }
    let ended = instance.status(calendar::parse("2027-01-01").unwrap());
    assert!(matches!(ended, Status::Nothing(_)), "{ended:?}");
    // Who starts now has read nothing before.
    assert!(matches!(Instance::load(config).status(now()), Status::Nothing(_)));

    fs::remove_dir(&path).unwrap();
    instance.reload();
    assert!(matches!(instance.status(now()), Status::Nothing(_)), "what is not there is not there");
    fs::write(&path, text).unwrap();
    instance.reload();
    assert_eq!(instance.status(now()), before);
}

#[test]
fn without_its_key_a_licence_that_cannot_be_read_is_in_force_no_more() {
    let (folder, key, config) = issuer();
    private_file::put(&config.path, &issue(terms("2026-01-01", "2027-01-01"), now(), &key).unwrap()).unwrap();
    let instance = Instance::load(config.clone());
    make_unreadable(&config.path);
    fs::remove_file(folder.path().join("acme.pub.pem")).unwrap();
    assert!(said(&instance).contains("acme.pub.pem cannot be read: there is no such file"));
}

#[test]
fn a_licence_near_its_end_is_a_concern_and_one_far_from_it_is_none() {
    let (_folder, key, config) = issuer();
    let instance = Instance::load(config.clone());
    private_file::put(&config.path, &issue(terms("2026-01-01", "2026-07-01"), now(), &key).unwrap()).unwrap();
    instance.reload();
    assert_eq!(instance.status(now()).concern(), None);
    let day_after = instance.status(now() + Duration::from_secs(86_400));
    let concern = day_after.concern().unwrap();
    assert!(concern.contains("ends in 29 days, at 2026-07-01 00:00:00 UTC"), "{concern}");
    assert!(concern.ends_with("on the day it begins or later"), "{concern}");
    let after = instance.status(calendar::parse("2026-07-01").unwrap()).concern().unwrap();
    assert!(after.starts_with("nothing is licensed: ") && after.contains("expired at"), "{after}");
}

#[tokio::test(start_paused = true)]
async fn a_new_licence_and_its_end_are_noticed_by_a_running_server() {
    let (_folder, key, config) = issuer();
    let clock = Clock::following_tokio();
    let instance = Arc::new(Instance::load(config.clone()));
    let following = tokio::spawn(instance.clone().follow(clock.clone()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(instance.in_force(clock.now()).is_err());

    let mut terms = terms("2026-01-01", "2027-01-01");
    (terms.starts_at, terms.ends_at) = (SystemTime::UNIX_EPOCH, clock.now() + Duration::from_secs(60));
    private_file::put(&config.path, &issue(terms, clock.now(), &key).unwrap()).unwrap();
    tokio::time::sleep(2 * LOOK_EVERY).await;
    assert!(instance.in_force(clock.now()).is_ok());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let absence = instance.in_force(clock.now()).unwrap_err();
    assert!(matches!(&absence, Absence::Refused { refusal: Refusal::Expired(_), .. }), "{absence:?}");
    following.abort();
}
