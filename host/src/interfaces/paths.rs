//! Replaces the functions of `wasi:filesystem` that take paths, to limit the length of a path and the disk space. The
//! module `files.rs` replaces the function `open-at`.
//!
//! If a path is too long, the guest gets `error-code.name-too-long`. If a guest makes a folder or a link, the new entry
//! counts for the component's limit on disk space. If the limit is reached, the guest gets `error-code.quota`.

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p3::bindings::filesystem::types as preview3;

use crate::budget::disk::ENTRY;
use crate::interfaces::filesystem::{are_too_long, charge, told2, told3};
use crate::interfaces::wasi::Wasi;

/// Calls the macro `$replace` once for each function that the host replaces. `$replace` gets three arguments. The first
/// argument is the function with all parameters except the folder. The second argument lists the parameters that are
/// paths. `makes_entry` is true if the function makes a new entry in a folder.
macro_rules! for_each_function {
    ($replace:ident) => {
        $replace!(create_directory_at(path: String), [path], makes_entry: true);
        $replace!(
            link_at(follow: PathFlags, from: String, folder: Resource<Descriptor>, to: String),
            [from, to],
            makes_entry: true
        );
        $replace!(metadata_hash_at(follow: PathFlags, path: String), [path], makes_entry: false);
        $replace!(readlink_at(path: String), [path], makes_entry: false);
        $replace!(remove_directory_at(path: String), [path], makes_entry: false);
        $replace!(
            rename_at(from: String, folder: Resource<Descriptor>, to: String),
            [from, to],
            makes_entry: false
        );
        $replace!(
            set_times_at(follow: PathFlags, path: String, read: NewTimestamp, written: NewTimestamp),
            [path],
            makes_entry: false
        );
        $replace!(stat_at(follow: PathFlags, path: String), [path], makes_entry: false);
        $replace!(symlink_at(target: String, path: String), [target, path], makes_entry: true);
        $replace!(unlink_file_at(path: String), [path], makes_entry: false);
    };
}

/// Replaces the functions that take paths, for guests of WASI 0.2 and guests of WASI 0.3. `get` finds the instance's
/// WASI state in the store's data.
pub(crate) fn add_to_linker<T: WasiView + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &Wasi,
) -> wasmtime::Result<()> {
    preview2(linker, get)?;
    preview3(linker, get)
}

fn preview2<T: WasiView + 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> &Wasi) -> wasmtime::Result<()> {
    use preview2::{ErrorCode, HostDescriptor as _, NewTimestamp, PathFlags};
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    macro_rules! replace {
        ($method:ident($($param:ident: $kind:ty),+), [$($path:ident),+], makes_entry: $makes_entry:literal) => {
            types.func_wrap_async(
                &name_of(stringify!($method)),
                move |mut store: StoreContextMut<'_, T>, (base, $($param),+): (Resource<Descriptor>, $($kind),+)| {
                    Box::new(async move {
                        if are_too_long([$(&$path),+]) {
                            return Ok((Err(ErrorCode::NameTooLong),));
                        }
                        let state = store.data_mut();
                        let disk = get(state).disk.clone().filter(|_| $makes_entry);
                        let Ok(_writing) = charge(disk, ENTRY).await else { return Ok((Err(ErrorCode::Quota),)) };
                        let done = state.filesystem().$method(base, $($param),+).await;
                        Ok((told2(state, done)?,))
                    })
                },
            )?;
        };
    }
    for_each_function!(replace);
    Ok(())
}

fn preview3<T: WasiView + 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> &Wasi) -> wasmtime::Result<()> {
    use preview3::{ErrorCode, HostDescriptorWithStore as _, NewTimestamp, PathFlags};
    let mut types = linker.instance("wasi:filesystem/types@0.3.0")?;
    macro_rules! replace {
        ($method:ident($($param:ident: $kind:ty),+), [$($path:ident),+], makes_entry: $makes_entry:literal) => {
            types.func_wrap_concurrent(
                &name_of(stringify!($method)),
                move |accessor: &Accessor<T>, (base, $($param),+): (Resource<Descriptor>, $($kind),+)| {
                    Box::pin(async move {
                        if are_too_long([$(&$path),+]) {
                            return Ok((Err(ErrorCode::NameTooLong),));
                        }
                        let disk = accessor.with(|mut access| get(access.data_mut()).disk.clone());
                        let charged = charge(disk.filter(|_| $makes_entry), ENTRY).await;
                        let Ok(_writing) = charged else { return Ok((Err(ErrorCode::Quota),)) };
                        let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
                        Ok((told3(WasiFilesystem::$method(&files, base, $($param),+).await)?,))
                    })
                },
            )?;
        };
    }
    for_each_function!(replace);
    Ok(())
}

/// Returns the WIT name of a method of `descriptor`. `method` is the method's name in Rust.
fn name_of(method: &str) -> String {
    format!("[method]descriptor.{}", method.replace('_', "-"))
}
