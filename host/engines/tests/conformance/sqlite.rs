//! Tests the database file of the SQLite engine: its path, its permissions, and its locks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use epilogue_engines::{BatchState, Counts, Error, Options, connect};
use futures::future::try_join_all;
use rusqlite::Connection;

use crate::fixture::{Fixture, Kind, LONG, batch};

fn path(fixture: &Fixture) -> &str {
    fixture.url.strip_prefix("sqlite:").unwrap().split('?').next().unwrap()
}

#[tokio::test]
async fn all_its_files_are_their_owners_alone() {
    let fixture = Fixture::new(Kind::Sqlite);
    fixture.engine.enqueue(&batch(&["secret"])).await.unwrap();
    let folder = fs::read_dir(std::path::Path::new(path(&fixture)).parent().unwrap()).unwrap();
    let modes: Vec<_> = folder
        .map(|file| file.unwrap())
        .map(|file| (file.file_name(), file.metadata().unwrap().permissions()))
        .collect();
    assert!(modes.len() >= 4, "the database, its two journals, and the owner's lock: {modes:?}");
    assert!(modes.iter().all(|(_, mode)| mode.mode() & 0o777 == 0o600), "{modes:?}");
}

/// In this test, the path of the database is a symbolic link to a file that does not exist yet, as on a volume that is
/// still empty.
#[test]
fn what_a_link_points_to_is_made_for_its_owner_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (link, target) = (folder.path().join("link.db"), folder.path().join("target.db"));
    std::os::unix::fs::symlink(&target, &link).unwrap();
    drop(connect(&format!("sqlite:{}", link.display()), Options::default()).unwrap());
    assert_eq!(fs::metadata(target).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str| {
        let error = connect(&format!("sqlite:{}", folder.path().join(name).display()), Options::default()).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error:?}");
        error.to_string()
    };
    let text =
        "not a database, but longer than a header of one is, which SQLite looks at first; so it sees what it is not";
    fs::write(folder.path().join("text"), text).unwrap();
    assert!(refused("text").contains("text is no SQLite database"));
    assert_eq!(fs::read_to_string(folder.path().join("text")).unwrap(), text);

    let other = Connection::open(folder.path().join("other.db")).unwrap();
    other.execute("CREATE TABLE theirs (x)", []).unwrap();
    assert!(refused("other.db").contains("other.db is a database of another program"));
    let journal: String = other.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    assert_eq!(journal, "delete");

    drop(connect(&format!("sqlite:{}", folder.path().join("newer.db").display()), Options::default()).unwrap());
    Connection::open(folder.path().join("newer.db")).unwrap().pragma_update(None, "user_version", 9).unwrap();
    assert!(refused("newer.db").contains("its schema is 9, not 2"));

    assert!(refused("none/tasks.db").ends_with("/none, which does not exist: make it"));
    fs::create_dir(folder.path().join("folder")).unwrap();
    assert!(refused("folder").ends_with("folder is a folder: name a file"));
}

#[tokio::test]
async fn an_envelope_that_cannot_be_read_is_buried_and_passed_over() {
    let fixture = Fixture::new(Kind::Sqlite);
    let (newer, sound) = (batch(&["newer"]), batch(&["sound"]));
    fixture.engine.enqueue(&newer).await.unwrap();
    fixture.engine.enqueue(&sound).await.unwrap();
    let file = Connection::open(path(&fixture)).unwrap();
    file.execute(
        "UPDATE envelopes SET envelope = CAST(replace(CAST(envelope AS TEXT), '\"v\":1', '\"v\":2') AS BLOB)
                  WHERE seq = 1",
        [],
    )
    .unwrap();
    let lease = fixture.lease("w").await.unwrap();
    assert_eq!(lease.batch, sound);
    let dead = fixture.engine.list(Some(BatchState::Dead), 10).await.unwrap();
    assert_eq!(dead[0].id, newer.id);
    assert!(dead[0].why.as_ref().unwrap().contains("its format has version 2"), "{dead:?}");
    assert!(dead[0].batch().is_err());
}

/// In this test, another program, for example a failed backup, locks the file for longer than a call waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_file_is_unavailable_in_bounded_time_and_what_failed_is_not_stored() {
    let options = Options { timeout: Duration::from_secs(3), ..Options::default() };
    let fixture = Fixture::with(Kind::Sqlite, options);
    let file = Connection::open(path(&fixture)).unwrap();
    file.execute_batch("BEGIN IMMEDIATE").unwrap();
    let batches = [batch(&["a"]), batch(&["b"]), batch(&["c"])];
    let failed = batches.iter().map(async |batch| fixture.engine.enqueue(batch).await.err().ok_or(()));
    for error in try_join_all(failed).await.expect("it was locked") {
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    }
    // The caller of this enqueue stops waiting, so the engine does not store the batch later.
    let abandoned = fixture.engine.enqueue(&batches[1]);
    assert!(tokio::time::timeout(Duration::from_millis(50), abandoned).await.is_err());
    file.execute_batch("ROLLBACK").unwrap();
    fixture.engine.enqueue(&batches[0]).await.unwrap();
    assert_eq!(fixture.engine.counts().await.unwrap(), Counts { ready: 1, ..Counts::default() });
}

/// If the engine did not check the path, SQLite would continue to write to the moved file. A process that opens the
/// original path later would not find the data.
#[tokio::test]
async fn a_file_that_is_moved_away_takes_nothing_more_until_it_is_back() {
    let fixture = Fixture::new(Kind::Sqlite);
    let (here, away) = (path(&fixture).to_owned(), format!("{}-away", path(&fixture)));
    fixture.engine.enqueue(&batch(&["before"])).await.unwrap();
    fs::rename(&here, &away).unwrap();
    for replaced in [false, true] {
        let error = fixture.engine.enqueue(&batch(&["lost"])).await.unwrap_err();
        assert!(matches!(&error, Error::Unavailable(why) if why.contains("tasks.db was moved")), "{error:?}");
        if !replaced {
            fs::copy(&away, &here).unwrap();
        }
    }
    fs::rename(&away, &here).unwrap();
    fixture.engine.enqueue(&batch(&["after"])).await.unwrap();
    assert_eq!(fixture.another().counts().await.unwrap(), Counts { ready: 2, ..Counts::default() });
}

/// In this test, a host and its workers start together, before any of them has created the file.
#[test]
fn all_who_open_a_new_file_at_once_can() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..20 {
        let url = format!("sqlite:{}", folder.path().join(format!("{round}.db")).display());
        let together = Barrier::new(8);
        let open = || {
            together.wait();
            connect(&url, Options { timeout: LONG, ..Options::default() }).map(drop)
        };
        let opened = thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect::<Result<Vec<_>, _>>()
        });
        assert!(opened.is_ok(), "{opened:?}");
    }
}

/// If an operator mistypes the path, the error says so, and the engine creates no file.
#[tokio::test]
async fn an_operator_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("typo.db").display());
    let error = connect(&url, Options { operator: true, ..Options::default() }).unwrap_err();
    assert!(error.to_string().contains("typo.db: No such file"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
