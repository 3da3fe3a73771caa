//! Downloads components. The host downloads each file once, checks its digest, and keeps it in the user's cache folder.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use epilogue_manifest::manifest::Download;
use futures::future::try_join_all;
use http::header::{HOST, LOCATION, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Empty};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::time::timeout;
use url::Url;
use wasmtime_wasi_http::{RequestOptions, WasiBody};

use crate::budget::lookups::{ComponentLookups, Lookups};
use crate::interfaces::send::{ResponseBody, send};

/// If a download takes longer than this time, the host logs that the download still runs.
const LONG: Duration = Duration::from_secs(2);
/// Longest time for each step of a download: the connection, the response's headers, and each part of the response's
/// body.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest size of a downloaded file, in bytes.
const MAX_SIZE: u64 = 1 << 30;
/// The largest number of redirections that the host follows during one download.
const MAX_REDIRECTIONS: usize = 10;

/// Downloads the files that are not in the cache yet.
///
/// # Errors
///
/// Returns an error if a file cannot be downloaded or stored, or if its digest differs from the digest in the manifest.
/// The error message names the file's address.
pub(super) fn fetch(downloads: &[Download]) -> anyhow::Result<()> {
    let missing: Vec<&Download> = downloads.iter().filter(|download| !is_cached(download)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a runtime for downloads")?;
    let lookups = ComponentLookups::default().instance();
    let fetching = missing.into_iter().map(|download| patiently(download, lookups.clone()));
    runtime.block_on(try_join_all(fetching))?;
    Ok(())
}

/// Reports whether the cache contains the file with the digest that the manifest names.
fn is_cached(download: &Download) -> bool {
    let digest = || {
        let mut file = fs::File::open(&download.file).ok()?;
        let (mut hasher, mut part) = (Sha256::new(), vec![0; 64 * 1024]);
        loop {
            match file.read(&mut part).ok()? {
                0 => return Some(hex(hasher)),
                read => hasher.update(&part[..read]),
            }
        }
    };
    digest().is_some_and(|digest| digest == download.sha256)
}

/// Downloads a file. If the download takes longer than [`LONG`], logs a message, so that the user knows why the host
/// does not start yet.
async fn patiently(download: &Download, lookups: Lookups) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut fetched = Box::pin(one(download, lookups));
    let done = match timeout(LONG, &mut fetched).await {
        Ok(done) => done.map(|_| ()),
        Err(_) => {
            tracing::info!(target: "epilogue::app", "downloading {}, once: the file is cached", download.shown());
            fetched.await.map(|size| {
                let (size, seconds) = (size.div_ceil(1024), began.elapsed().as_secs());
                tracing::info!(target: "epilogue::app", "downloaded {}: {size} KiB in {seconds} s", download.shown());
            })
        }
    };
    done.with_context(|| format!("cannot download {}", download.shown()))
}

/// Downloads a file into the cache, and returns the size of the file in bytes.
async fn one(download: &Download, lookups: Lookups) -> anyhow::Result<u64> {
    let mut url = download.url.clone();
    let mut redirections = 0;
    loop {
        let request = request(&url)?;
        let options = RequestOptions {
            connect_timeout: Some(PATIENCE),
            first_byte_timeout: Some(PATIENCE),
            between_bytes_timeout: Some(PATIENCE),
        };
        let (response, connection) = send(request, Some(options), lookups.clone()).await?;
        match redirection(&url, &response)? {
            None => {
                let store = store(download, response);
                tokio::pin!(store);
                // The connection must be driven until the body has been read.
                return tokio::select! {
                    biased;
                    stored = &mut store => stored,
                    _ = connection => store.await,
                };
            }
            Some(next) => {
                redirections += 1;
                ensure!(redirections <= MAX_REDIRECTIONS, "the server redirects more than {MAX_REDIRECTIONS} times");
                url = next;
            }
        }
    }
}

fn request(url: &Url) -> anyhow::Result<Request<WasiBody>> {
    let uri: Uri = url.as_str().parse()?;
    let host = uri.authority().map(|authority| authority.as_str().to_owned()).unwrap_or_default();
    let agent = concat!("epilogue/", env!("CARGO_PKG_VERSION"));
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    Ok(Request::get(uri).header(HOST, host).header(USER_AGENT, agent).body(body)?)
}

/// Returns the address to which the response redirects, or `None` if the response contains the file.
fn redirection(url: &Url, response: &Response<ResponseBody>) -> anyhow::Result<Option<Url>> {
    let status = response.status();
    if status.is_redirection()
        && let Some(location) = response.headers().get(LOCATION)
    {
        let location = location.to_str().ok().and_then(|location| url.join(location).ok());
        let location = location.filter(|url| ["http", "https"].contains(&url.scheme()));
        return location.map(Some).context("the server redirects to an address that is not of http or https");
    }
    ensure!(status.is_success(), "the server answered {status}");
    Ok(None)
}

/// Writes a downloaded file into the cache, and returns the size of the file in bytes. If the file's digest differs
/// from the digest in the manifest, returns an error and does not add the file to the cache.
async fn store(download: &Download, response: Response<ResponseBody>) -> anyhow::Result<u64> {
    let folder = download.file.parent().unwrap_or(Path::new("/"));
    let cannot_store = || format!("cannot store it in {}", folder.display());
    fs::create_dir_all(folder).with_context(cannot_store)?;
    let mut file = NamedTempFile::new_in(folder).with_context(cannot_store)?;
    let (mut size, mut hasher, mut body) = (0, Sha256::new(), response.into_body());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the download broke off")?.into_data() else { continue };
        size += data.len() as u64;
        ensure!(size <= MAX_SIZE, "it is larger than 1 GiB");
        hasher.update(&data);
        file.write_all(&data).with_context(cannot_store)?;
    }
    let digest = hex(hasher);
    if digest != download.sha256 {
        bail!("its digest is sha256:{digest}, but the manifest has sha256:{}", download.sha256);
    }
    file.persist(&download.file).with_context(cannot_store)?;
    Ok(size)
}

fn hex(hasher: Sha256) -> String {
    format!("{:x}", hasher.finalize())
}
