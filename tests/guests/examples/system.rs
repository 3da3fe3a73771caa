//! Reads and writes its system. The handler and a task do `/env?NAME`, `/all-env`, `/read?FILE` and `/write?FILE`. Only
//! the handler does `/fill?FILE`, which writes mebibytes until a write fails, `/again?FILE`, which writes half a
//! mebibyte again and again, and `/link?FILE`, which links the file until that fails.

use std::fs::File;
use std::io::Write as _;
use std::{env, fs};

use epilogue_sdk::BackgroundTasks;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let what = request.uri().path().to_owned();
    let which = request.uri().query().unwrap_or_default().to_owned();
    match what.as_str() {
        "/fill" => return Ok(fill(&which)),
        "/again" => return Ok(again(&which)),
        "/link" => return Ok(link(&which)),
        _ => {}
    }
    BackgroundTasks::current().add_task(look_again, (what.clone(), which.clone()))?;
    Ok(look(&what, &which))
}

/// Writes to a file until that fails.
fn fill(file: &str) -> String {
    let mut file = match File::create(file) {
        Ok(file) => file,
        Err(error) => return format!("0 MiB, {:?}", error.raw_os_error()),
    };
    for written in 0..1024 {
        if let Err(error) = file.write_all(&vec![1; 1 << 20]) {
            return format!("{written} MiB, {:?}", error.raw_os_error());
        }
    }
    "all of it was written".to_owned()
}

/// Writes a file again and again: four mebibytes in all, and never more than half of one at a time.
fn again(file: &str) -> String {
    for written in 0..8 {
        if let Err(error) = fs::write(file, vec![1; 1 << 19]) {
            return format!("{written} times, {:?}", error.raw_os_error());
        }
    }
    "all of it was written".to_owned()
}

/// Makes new names for a file until that fails.
fn link(file: &str) -> String {
    for made in 0..100_000 {
        if let Err(error) = fs::hard_link(file, format!("{file}.{made}")) {
            return format!("{made} links, {:?}", error.raw_os_error());
        }
    }
    "all links were made".to_owned()
}

/// A task sees what its handler saw.
#[epilogue_sdk::task]
fn look_again(what: String, which: String) {
    println!("{}", look(&what, &which));
}

fn look(what: &str, which: &str) -> String {
    match what {
        "/env" => env::var(which).unwrap_or_else(|_| "unset".to_owned()),
        "/all-env" => env::vars().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" "),
        "/read" => fs::read_to_string(which).unwrap_or_else(|error| format!("no read: {:?}", error.kind())),
        "/write" => match fs::write(which, "written") {
            Ok(()) => "written".to_owned(),
            Err(error) => format!("no write: {:?}", error.kind()),
        },
        _ => unreachable!("there is nothing to see at {what}"),
    }
}
