//! Key-value stores in a SQLite file, or in memory. The file has the same format as in Spin. An application can move
//! from Spin to this host or back, and use the same file.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use epilogue_engines::database::{Database, Place, write_ahead};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::stores::Open;
use super::{Error, Page, Result, Size, Store, Version};

/// The timeout of one call, including the time that the call waits for other calls.
const TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time that SQLite waits while other processes write to the file. This time is shorter than [`TIMEOUT`],
/// so that the call can return SQLite's error before [`TIMEOUT`] has passed.
const PATIENCE: Duration = Duration::from_secs(4);
/// The largest number of keys on one page. One call of `Store::keys` returns one page.
const PAGE: usize = 1_000;
/// A limit for the size of a page's keys, in bytes. When the keys on a page exceed this size, the page is full.
const PAGE_SIZE: usize = 1 << 20;

/// The statement that creates the table. Spin uses the same table.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS spin_key_value (
    store TEXT NOT NULL,
    key   TEXT NOT NULL,
    value BLOB NOT NULL,

    PRIMARY KEY (store, key)
)";
const GET: &str = "SELECT value FROM spin_key_value WHERE store = ? AND key = ?";
const SET: &str = "INSERT INTO spin_key_value (store, key, value) VALUES (?, ?, ?)
    ON CONFLICT (store, key) DO UPDATE SET value = excluded.value";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = ? AND key = ?";

/// An open SQLite database. One thread makes all calls to the database.
pub(super) struct Sqlite(Database);

/// One store in a database. A database contains several stores with different labels.
struct Labeled {
    database: Arc<Sqlite>,
    label: Arc<str>,
}

impl Sqlite {
    /// Opens a database in memory. When the process ends, the data is lost.
    pub(super) fn in_memory() -> anyhow::Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.execute(SCHEMA, [])?;
        Ok(Self(Database::start(connection, None, TIMEOUT)?))
    }

    /// Opens the database file `path`. Creates the file and its folder if they do not exist.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        if path.is_dir() {
            bail!("{name} is a folder: name a file");
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        }
        let open = || {
            let connection = Connection::open(path)?;
            connection.busy_timeout(PATIENCE)?;
            write_ahead(&connection, PATIENCE)?;
            connection.execute(SCHEMA, [])?;
            Ok::<_, rusqlite::Error>(connection)
        };
        let connection = open().with_context(|| format!("SQLite cannot use {name}"))?;
        Ok(Self(Database::start(connection, Some(Place::new(path)?), TIMEOUT)?))
    }
}

impl Open for Sqlite {
    fn store(self: Arc<Self>, label: &str) -> Arc<dyn Store> {
        Arc::new(Labeled { database: self, label: label.into() })
    }
}

impl Labeled {
    async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    {
        let label = self.label.clone();
        Ok(self.database.0.read(move |connection| read(connection, &label)).await?)
    }

    async fn write<T, F>(&self, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &str) -> rusqlite::Result<T> + Send + 'static,
    {
        let label = self.label.clone();
        Ok(self.database.0.run(move |connection| write(connection, &label)).await?)
    }
}

#[async_trait]
impl Store for Labeled {
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        self.read(move |connection, label| value(connection, label, &key, &mut Size::default())).await?
    }

    async fn exists(&self, key: String) -> Result<bool> {
        self.read(move |connection, label| {
            connection.prepare_cached("SELECT 1 FROM spin_key_value WHERE store = ? AND key = ?")?.exists([label, &key])
        })
        .await
    }

    async fn keys(&self, from: Option<String>) -> Result<Page> {
        self.read(move |connection, label| {
            let mut select = connection
                .prepare_cached("SELECT key FROM spin_key_value WHERE store = ? AND key >= ? ORDER BY key LIMIT ?")?;
            let mut rows = select.query(params![label, from.unwrap_or_default(), PAGE as i64 + 1])?;
            let (mut keys, mut size) = (Vec::new(), 0);
            while let Some(row) = rows.next()? {
                let key: String = row.get(0)?;
                if keys.len() == PAGE || size > PAGE_SIZE {
                    return Ok(Page { keys, next: Some(key) });
                }
                size += key.len();
                keys.push(key);
            }
            Ok(Page { keys, next: None })
        })
        .await
    }

    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<(String, Option<Vec<u8>>)>> {
        self.read(move |connection, label| {
            let (mut values, mut size) = (Vec::new(), Size::default());
            for key in keys {
                match value(connection, label, &key, &mut size)? {
                    Ok(value) => values.push((key, value)),
                    Err(error) => return Ok(Err(error)),
                }
            }
            Ok(Ok(values))
        })
        .await?
    }

    async fn set_many(&self, values: Vec<(String, Vec<u8>)>) -> Result<()> {
        self.write(move |connection, label| {
            let mut set = connection.prepare_cached(SET)?;
            values.into_iter().try_for_each(|(key, value)| set.execute(params![label, key, value]).map(drop))
        })
        .await
    }

    async fn delete_many(&self, keys: Vec<String>) -> Result<()> {
        self.write(move |connection, label| {
            let mut delete = connection.prepare_cached(DELETE)?;
            keys.iter().try_for_each(|key| delete.execute([label, key]).map(drop))
        })
        .await
    }

    async fn increment(&self, key: String, delta: i64) -> Result<i64> {
        self.write(move |connection, label| {
            let old: Option<Vec<u8>> =
                connection.prepare_cached(GET)?.query_row([label, &key], |row| row.get(0)).optional()?;
            let sum = match old.map(<[u8; 8]>::try_from) {
                None => Ok(delta),
                // Spin stores a number as eight bytes in little-endian order.
                Some(Ok(bytes)) => i64::from_le_bytes(bytes).checked_add(delta).ok_or("would leave the range of s64"),
                Some(Err(_)) => Err("is not a number"),
            };
            if let Ok(sum) = sum {
                connection.prepare_cached(SET)?.execute(params![label, key, sum.to_le_bytes()])?;
            }
            Ok(sum.map_err(|reason| Error::Other(format!("the value of {key:?} {reason}"))))
        })
        .await?
    }

    async fn swap(&self, key: String, version: Version, value: Vec<u8>) -> Result<bool> {
        self.write(move |connection, label| {
            let of = |row: &rusqlite::Row<'_>| Ok(Version::of(Some(row.get_ref(0)?.as_bytes()?)));
            let now = connection.prepare_cached(GET)?.query_row([label, &key], of).optional()?;
            let unchanged = now.unwrap_or_else(|| Version::of(None)) == version;
            if unchanged {
                connection.prepare_cached(SET)?.execute(params![label, key, value])?;
            }
            Ok(unchanged)
        })
        .await
    }
}

/// Returns the value of a key. Adds the size of the key and the size of the value to `size`. If the new `size` is
/// larger than `MAX_RESULT`, returns an error instead of the value.
fn value(
    connection: &Connection,
    label: &str,
    key: &str,
    size: &mut Size,
) -> rusqlite::Result<Result<Option<Vec<u8>>>> {
    let mut get = connection.prepare_cached(GET)?;
    let mut rows = get.query([label, key])?;
    let Some(row) = rows.next()? else {
        return Ok(size.add(key.len()).map(|()| None));
    };
    let value = row.get_ref(0)?.as_bytes()?;
    Ok(size.add(key.len() + value.len()).map(|()| Some(value.to_vec())))
}

#[cfg(test)]
mod tests {
    use super::super::all_keys;
    use super::*;

    fn store() -> Arc<dyn Store> {
        Arc::new(Sqlite::in_memory().unwrap()).store("default")
    }

    #[tokio::test]
    async fn what_is_dropped_before_its_turn_does_not_happen_and_the_store_goes_on() {
        let store = store();
        let set = store.set("a".to_owned(), b"1".to_vec());
        drop(set);
        assert_eq!(store.get("a".to_owned()).await, Ok(None));
        let mut set = store.set("a".to_owned(), b"2".to_vec());
        _ = futures::poll!(&mut set);
        drop(set);
        // The store may have made the change before the test dropped the future.
        let value = store.get("a".to_owned()).await.unwrap();
        assert!(value.is_none_or(|value| value == b"2"));
        store.set("a".to_owned(), b"3".to_vec()).await.unwrap();
        assert_eq!(store.get("a".to_owned()).await, Ok(Some(b"3".to_vec())));
    }

    #[tokio::test]
    async fn keys_come_in_pages_without_gaps() {
        let store = store();
        let keys: Vec<String> = (0..2 * PAGE + 1).map(|number| format!("{number:05}")).collect();
        store.set_many(keys.iter().map(|key| (key.clone(), Vec::new())).collect()).await.unwrap();
        assert_eq!(all_keys(&*store).await.unwrap(), keys);
        let first = store.keys(None).await.unwrap();
        assert_eq!((first.keys.len(), first.next.as_deref()), (PAGE, Some("01000")));
    }

    #[tokio::test]
    async fn numbers_are_those_of_spin() {
        let store = store();
        assert_eq!(store.increment("n".to_owned(), -3).await, Ok(-3));
        assert_eq!(store.get("n".to_owned()).await, Ok(Some((-3_i64).to_le_bytes().to_vec())));
        store.set("n".to_owned(), i64::MAX.to_le_bytes().to_vec()).await.unwrap();
        let error = |reason: &str| Err(Error::Other(format!("the value of \"n\" {reason}")));
        assert_eq!(store.increment("n".to_owned(), 1).await, error("would leave the range of s64"));
        store.set("n".to_owned(), b"7".to_vec()).await.unwrap();
        assert_eq!(store.increment("n".to_owned(), 1).await, error("is not a number"));
    }

    #[tokio::test]
    async fn a_value_is_swapped_only_if_it_did_not_change() {
        let store = store();
        let swap = async |version: Option<&[u8]>, value: &[u8]| {
            store.swap("k".to_owned(), Version::of(version), value.to_vec()).await.unwrap()
        };
        assert!(!swap(Some(b"1"), b"2").await);
        assert!(swap(None, b"1").await);
        assert!(!swap(None, b"2").await);
        assert!(swap(Some(b"1"), b"2").await);
        assert_eq!(store.get("k".to_owned()).await, Ok(Some(b"2".to_vec())));
    }

    #[tokio::test]
    async fn a_result_has_a_limit() {
        let store = store();
        let many: Vec<String> = (0..129).map(|number| number.to_string()).collect();
        for key in &many {
            store.set(key.clone(), vec![b'y'; 1 << 20]).await.unwrap();
        }
        let error = Error::Other("query result exceeds limit of 134217728 bytes".to_owned());
        assert_eq!(store.get_many(many.clone()).await, Err(error));
        assert_eq!(store.get_many(many[..100].to_vec()).await.unwrap().len(), 100);
    }
}
