//! Calls each function of `wasi:filesystem` that takes paths, in both versions of WASI, with paths of `/?LENGTH` bytes.
//! Answers a line for each call, with its result. If a function takes two paths, each of them is once the long one.
//!
//! It needs a file `file` in a writable mount.

use std::fmt::{Debug, Write as _};

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let length = request.uri().query().unwrap_or_default().parse()?;
    let mut results = Results(String::new());
    wasi3(length, &mut results).await;
    wasi2(length, &mut results);
    Ok(results.0)
}

/// The lines of the answer.
struct Results(String);

impl Results {
    fn add<T, E: Debug>(&mut self, function: &str, result: Result<T, E>) {
        _ = writeln!(self.0, "{function}: {:?}", result.map(drop));
    }
}

/// A path of so many bytes to the file of this name.
fn long(length: usize, name: &str) -> String {
    format!(".{}{name}", "/".repeat(length - 1 - name.len()))
}

async fn wasi3(length: usize, results: &mut Results) {
    use spin_sdk::wasip3::filesystem::preopens::get_directories;
    use spin_sdk::wasip3::filesystem::types::{DescriptorFlags, NewTimestamp, OpenFlags, PathFlags};

    let (mount, _) = &get_directories()[0];
    let (short, long) = (str::to_owned, |name| long(length, name));
    let (follow, keep) = (PathFlags::empty(), NewTimestamp::NoChange);
    let opened = mount.open_at(follow, long("file"), OpenFlags::empty(), DescriptorFlags::READ).await;
    results.add("open-at", opened);
    results.add("stat-at", mount.stat_at(follow, long("file")).await);
    results.add("metadata-hash-at", mount.metadata_hash_at(follow, long("file")).await);
    results.add("set-times-at", mount.set_times_at(follow, long("file"), keep, keep).await);
    results.add("symlink-at", mount.symlink_at(long("file"), short("one")).await);
    results.add("symlink-at", mount.symlink_at(short("file"), long("two")).await);
    results.add("readlink-at", mount.readlink_at(long("two")).await);
    results.add("link-at", mount.link_at(follow, long("file"), mount, short("three")).await);
    results.add("link-at", mount.link_at(follow, short("file"), mount, long("four")).await);
    results.add("rename-at", mount.rename_at(long("one"), mount, short("two")).await);
    results.add("rename-at", mount.rename_at(short("two"), mount, long("four")).await);
    results.add("unlink-file-at", mount.unlink_file_at(long("three")).await);
    results.add("create-directory-at", mount.create_directory_at(long("folder")).await);
    results.add("remove-directory-at", mount.remove_directory_at(long("folder")).await);
    // So that WASI 0.2 finds what was there before.
    _ = mount.unlink_file_at(short("four")).await;
}

fn wasi2(length: usize, results: &mut Results) {
    use wasip2::filesystem::preopens::get_directories;
    use wasip2::filesystem::types::{DescriptorFlags, NewTimestamp, OpenFlags, PathFlags};

    let (mount, _) = &get_directories()[0];
    let long = |name| long(length, name);
    let (follow, keep) = (PathFlags::empty(), NewTimestamp::NoChange);
    let opened = mount.open_at(follow, &long("file"), OpenFlags::empty(), DescriptorFlags::READ);
    results.add("open-at", opened);
    results.add("stat-at", mount.stat_at(follow, &long("file")));
    results.add("metadata-hash-at", mount.metadata_hash_at(follow, &long("file")));
    results.add("set-times-at", mount.set_times_at(follow, &long("file"), keep, keep));
    results.add("symlink-at", mount.symlink_at(&long("file"), "one"));
    results.add("symlink-at", mount.symlink_at("file", &long("two")));
    results.add("readlink-at", mount.readlink_at(&long("two")));
    results.add("link-at", mount.link_at(follow, &long("file"), mount, "three"));
    results.add("link-at", mount.link_at(follow, "file", mount, &long("four")));
    results.add("rename-at", mount.rename_at(&long("one"), mount, "two"));
    results.add("rename-at", mount.rename_at("two", mount, &long("four")));
    results.add("unlink-file-at", mount.unlink_file_at(&long("three")));
    results.add("create-directory-at", mount.create_directory_at(&long("folder")));
    results.add("remove-directory-at", mount.remove_directory_at(&long("folder")));
}
