use tempfile::TempDir;

use super::*;

fn open_in(folder: &TempDir) -> Connection {
    open_writer(&StorageConfig::in_folder(folder.path())).unwrap().connection
}

fn refused(folder: &TempDir) -> OpenError {
    open_writer(&StorageConfig::in_folder(folder.path())).err().unwrap()
}

fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, name: &str) -> T {
    connection.pragma_query_value(None, name, |row| row.get(0)).unwrap()
}

#[test]
fn commits_are_synced_and_survive_the_power_going() {
    let folder = tempfile::tempdir().unwrap();
    let connection = open_in(&folder);
    assert_eq!(pragma::<String>(&connection, "journal_mode"), "wal");
    assert_eq!(pragma::<i64>(&connection, "synchronous"), 2, "2 is FULL");
    assert!(pragma::<bool>(&connection, "foreign_keys"));
}

#[test]
fn without_fsync_a_commit_does_not_wait_for_the_disk_and_is_in_the_file_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let config = StorageConfig { durability: Durability::Os, ..StorageConfig::in_folder(folder.path()) };
    let opened = open_writer(&config).unwrap();
    assert_eq!(pragma::<String>(&opened.connection, "journal_mode"), "wal");
    assert_eq!(pragma::<i64>(&opened.connection, "synchronous"), 1, "1 is NORMAL");
    opened.connection.execute("INSERT INTO room VALUES (x'01')", []).unwrap();
    let reader = open_reader(&opened.place).unwrap();
    assert_eq!(reader.query_row("SELECT count(*) FROM room", [], |row| row.get(0)), Ok(1));
}

#[test]
fn in_memory_nothing_is_written_and_both_connections_see_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let config = StorageConfig {
        durability: Durability::Memory,
        ..StorageConfig::in_folder(&folder.path().join("data"))
    };
    let opened = open_writer(&config).unwrap();
    let reader = open_reader(&opened.place).unwrap();
    opened.connection.execute("INSERT INTO room VALUES (x'01')", []).unwrap();
    assert_eq!(reader.query_row("SELECT count(*) FROM room", [], |row| row.get(0)), Ok(1));
    assert!(!config.path.exists());
    // Another store of the same process is another one.
    let other = open_writer(&config).unwrap();
    let rows: i64 = other.connection.query_row("SELECT count(*) FROM room", [], |row| row.get(0)).unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn the_bound_on_the_file_is_sqlites_own() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(pragma::<i64>(&open_in(&folder), "max_page_count"), (1 << 30) / 4096);
}

#[test]
fn a_new_file_is_at_the_newest_version_and_opening_it_again_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        assert_eq!(schema::version(&open_in(&folder)).unwrap(), schema::VERSION);
    }
}

#[test]
fn a_file_of_a_newer_version_is_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    let newer = Connection::open(&path).unwrap();
    newer.pragma_update(None, "user_version", 7_000).unwrap();
    drop(newer);
    let before = fs::read(&path).unwrap();

    let error = refused(&folder);
    assert!(
        matches!(error, OpenError::NewerSchema { found: 7_000, known: schema::VERSION, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(FILE_NAME), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[rstest::rstest]
#[case::short(b"hello".to_vec())]
#[case::long(b"not a database. ".repeat(1_000))]
fn a_file_that_is_no_database_is_refused_untouched(#[case] content: Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    fs::write(&path, &content).unwrap();
    let error = refused(&folder);
    assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    assert!(error.to_string().contains(FILE_NAME), "{error}");
    assert_eq!(fs::read(&path).unwrap(), content);
}

#[test]
fn looking_at_a_store_makes_none_and_brings_none_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let refused = || open_to_look(folder.path()).unwrap_err();
    assert!(matches!(refused(), OpenError::Missing { .. }));
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none());

    drop(create(&folder.path().join(FILE_NAME), 2).unwrap());
    assert!(matches!(refused(), OpenError::OlderSchema { found: 2, .. }));
    drop(open_in(&folder));
    open_to_look(folder.path()).unwrap();
}

#[cfg(unix)]
#[test]
fn nobody_else_on_the_machine_can_read_conversations() {
    use std::os::unix::fs::PermissionsExt;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("a/data");
    create_folder(&folder).unwrap();
    let opened = open_writer(&StorageConfig::in_folder(&folder)).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let log = folder.join(format!("{FILE_NAME}-wal"));
    for file in [&opened.place.path(), &log] {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{file:?}");
    }
}
