//! Writes a task's arguments as JSON, and reads them back. The task gets exactly the values that were enqueued. If JSON
//! cannot keep these values exactly, `add_task` returns an error.
//!
//! Some values change when serde writes them as JSON and reads them back. Examples are a float that is not finite,
//! `Some(None)`, and a struct whose `Deserialize` does not understand what its `Serialize` writes. The module [`look`]
//! checks the arguments before `add_task` writes them. [`look`] refuses values that JSON cannot express, and finds
//! values that may change. If a value may change, `add_task` reads the arguments back and compares them with the
//! original. In a debug build, `add_task` reads back and compares all arguments.

mod look;
mod numbers;
#[cfg(test)]
mod tests;

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::look::Look;
use self::numbers::Plain;

/// If true, `add_task` reads all arguments back from the JSON, and compares them with the original arguments. If false,
/// `add_task` reads back only arguments that may change in JSON.
const ALL: bool = cfg!(debug_assertions);

/// Writes the arguments as JSON. If the task would not get the same arguments, the error says why.
pub(crate) fn write<T: Serialize + DeserializeOwned>(args: &T) -> Result<Vec<u8>, String> {
    write_checked(args, ALL)
}

fn write_checked<T: Serialize + DeserializeOwned>(args: &T, all: bool) -> Result<Vec<u8>, String> {
    let look = Look::at(args)?;
    let json = serde_json::to_vec(args).map_err(|error| error.to_string())?;
    if all || look.is_doubtful() {
        read_back(args, &json)?;
    }
    Ok(json)
}

/// Checks that the task will read from `json` the same values that `args` contains.
fn read_back<T: Serialize + DeserializeOwned>(args: &T, json: &[u8]) -> Result<(), String> {
    let arrived: T = read(json).map_err(|error| {
        format!("the task could not read them, because a type's Serialize and Deserialize differ: {error}")
    })?;
    if Look::sum(args)? == Look::sum(&arrived)? {
        return Ok(());
    }
    Err("the task would get another value, because Some(None) becomes None, or a type's Serialize and Deserialize differ"
        .to_owned())
}

/// True if serde_json has the feature `arbitrary_precision`, with which serde_json keeps each number as a text. If one
/// crate of the guest turns the feature on, the feature is on for all crates, also for this crate.
const AS_TEXT: bool = size_of::<serde_json::Number>() == size_of::<String>();

/// Reads the arguments from `json`.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, serde_json::Error> {
    if !AS_TEXT {
        return serde_json::from_slice(json);
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let args = T::deserialize(Plain::new(&mut reader))?;
    reader.end()?;
    Ok(args)
}
