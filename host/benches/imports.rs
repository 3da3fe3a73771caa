//! `cargo bench --bench imports` measures each function that the host provides to guests, with the largest argument
//! that the host accepts. While a function of the host runs, no other guest of the same serving thread can run. For
//! this reason, no function should take more than a millisecond.

#[path = "parts/guests.rs"]
mod guests;

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use epilogue::testing::TestHost;

/// The largest allowed median of the times that calls of one function take, in microseconds.
const MOST: u64 = 1_000;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("data"))?;
    fs::write(folder.path().join("data/file"), "")?;
    let manifest = folder.path().join("spin.toml");
    fs::write(
        &manifest,
        format!(
            "spin_manifest_version = 2\n[application]\nname = \"imports\"\n[[trigger.http]]\nroute = \"/...\"\n\
             component = \"imports\"\n[component.imports]\nsource = {:?}\nallowed_outbound_hosts = [\"*://127.0.0.1:*\"]\n\
             files = [{{ source = \"data\", destination = \"/data\" }}]\n",
            guests::IMPORTS
        ),
    )?;
    let host = TestHost::manifest(&manifest).setting("allow-transient-write", "true").start();
    let exchange = host.get("/");
    if !exchange.response().status().is_success() {
        bail!("the guest failed: {:#?}", exchange.drained());
    }
    println!("{:<55} {:>8} {:>8}  µs", "function", "shortest", "median");
    let mut slow = Vec::new();
    for line in exchange.text().lines() {
        let [name, shortest, median] = line.split('\t').collect::<Vec<_>>()[..] else { continue };
        println!("{name:<55} {shortest:>8} {median:>8}");
        if median.parse::<u64>().context("a median should be a number")? > MOST {
            slow.push(name);
        }
    }
    ensure!(slow.is_empty(), "over {MOST} µs: {}", slow.join("; "));
    Ok(())
}
