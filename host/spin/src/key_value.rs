//! Spin's key-value stores. A component opens a store by its label. A store keeps values, which are bytes, under keys.
//!
//! In the manifest, `key_value_stores` of a component lists the labels of the stores that the component may open. For
//! each label, the operator's runtime configuration says where the store keeps its data. A store with the label
//! `default` always exists.

mod interfaces;
mod redis;
mod reported;
mod sqlite;
mod stores;

use std::fmt;

use async_trait::async_trait;

pub use interfaces::{Comparison, HasKeyValue, Interface, KeyValue, KeyValueView, Opened};
pub use reported::Report;
pub use stores::{Backend, Backends, ComponentStores, Stores};

/// The label of the store that every application has.
pub const DEFAULT: &str = "default";

/// The largest number of bytes that one call to a store may return: 128 MiB, as in Spin.
pub(crate) const MAX_RESULT: usize = 128 << 20;

/// The reason why a call to a store failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The component may not open the store.
    AccessDenied,
    /// The instance may not open another store, because the instance already has 256 open stores.
    StoreTableFull,
    /// The store is not available at the moment. The text in this variant is the cause. Only the operator may see the
    /// text, because the text may name a file or a server. The text never contains a password.
    Unavailable(String),
    /// The call failed for another reason, which the text describes. The text never contains a password or a stored
    /// value.
    Other(String),
}

/// The error message that a component gets if a store is not available.
pub(crate) const UNAVAILABLE: &str = "the key-value store is not available";

/// The result of a call to a store.
pub type Result<T> = std::result::Result<T, Error>;

/// One page of a store's list of keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys of this page. If the store changes between two pages, a key may be on both pages.
    pub keys: Vec<String>,
    /// The position where the next page begins. If this page is the last page, the value is `None`.
    pub next: Option<String>,
}

/// The version of a key's value: the SHA-1 digest of the value, in hexadecimal. If the key has no value, the version is
/// `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Option<String>);

impl Version {
    /// Returns the version of a key whose value is `value`.
    pub fn of(value: Option<&[u8]>) -> Self {
        Self(value.map(|value| sha1_smol::Sha1::from(value).digest().to_string()))
    }
}

/// A key-value store. A caller may drop the future of a call before the call has ended, and then make other calls. If
/// the dropped future belongs to a call that sets or deletes values, the store may still set or delete the values.
#[async_trait]
pub trait Store: Send + Sync {
    /// Returns the value of a key. If the key has no value, returns `None`.
    async fn get(&self, key: String) -> Result<Option<Vec<u8>>>;

    /// Sets the value of a key.
    async fn set(&self, key: String, value: Vec<u8>) -> Result<()> {
        self.set_many(vec![(key, value)]).await
    }

    /// Removes a key and its value. If the key has no value, does nothing.
    async fn delete(&self, key: String) -> Result<()> {
        self.delete_many(vec![key]).await
    }

    /// Returns true if the key has a value.
    async fn exists(&self, key: String) -> Result<bool>;

    /// Returns one page of the store's keys. For the first page, `from` is `None`. For each later page, `from` is
    /// [`Page::next`] of the page before.
    async fn keys(&self, from: Option<String>) -> Result<Page>;

    /// Returns these keys with their values, in the order of `keys`.
    async fn get_many(&self, keys: Vec<String>) -> Result<Vec<(String, Option<Vec<u8>>)>>;

    /// Sets the values of all these keys in one step. The store never sets only some of the values.
    async fn set_many(&self, values: Vec<(String, Vec<u8>)>) -> Result<()>;

    /// Removes these keys and their values.
    async fn delete_many(&self, keys: Vec<String>) -> Result<()>;

    /// Adds `delta` to the number that is the key's value, and returns the sum. If the key has no value, the sum is
    /// `delta`.
    async fn increment(&self, key: String, delta: i64) -> Result<i64>;

    /// Sets the value of a key if the key's current value has this version. Otherwise changes nothing. Returns true if
    /// the store has set the value.
    async fn swap(&self, key: String, version: Version, value: Vec<u8>) -> Result<bool>;
}

/// Returns all keys of a store.
///
/// # Errors
///
/// Returns an error if the store returns an error, or if the keys together have more than 128 MiB.
pub async fn all_keys(store: &dyn Store) -> Result<Vec<String>> {
    let (mut all, mut size, mut from) = (Vec::new(), Size::default(), None);
    loop {
        let page = store.keys(from).await?;
        for key in &page.keys {
            size.add(size_of::<String>() + key.len())?;
        }
        all.extend(page.keys);
        match page.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

/// The size of the result that a call has collected so far, in bytes.
#[derive(Default)]
pub(crate) struct Size(usize);

impl Size {
    /// Adds `bytes` to the size.
    ///
    /// # Errors
    ///
    /// Returns an error if the new size is larger than [`MAX_RESULT`].
    pub(crate) fn add(&mut self, bytes: usize) -> Result<()> {
        self.0 = self.0.saturating_add(bytes);
        match self.0 <= MAX_RESULT {
            true => Ok(()),
            // Spin uses the same words for this error.
            false => Err(Error::Other(format!("query result exceeds limit of {MAX_RESULT} bytes"))),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AccessDenied => formatter.write_str("the component may not open the store"),
            Self::StoreTableFull => formatter.write_str("the component has too many stores open"),
            Self::Unavailable(cause) => write!(formatter, "{UNAVAILABLE}: {cause}"),
            Self::Other(message) => formatter.write_str(message),
        }
    }
}

impl std::error::Error for Error {}

impl From<epilogue_engines::Error> for Error {
    fn from(error: epilogue_engines::Error) -> Self {
        Self::Unavailable(match error {
            epilogue_engines::Error::Unavailable(why) => why,
            error => error.to_string(),
        })
    }
}
