//! Replaces `descriptor.open-at` of `wasi:filesystem`, to limit the number of files that a guest may hold open.

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p3::bindings::filesystem::types as preview3;

use crate::budget::disk::ENTRY;
use crate::budget::instance::Budgeted;
use crate::budget::places::Place;
use crate::interfaces::filesystem::{are_too_long, charge, told2, told3};
use crate::interfaces::wasi::Wasi;

/// Replaces the functions with which a guest opens a file or a folder. If the limit on open files or the limit on disk
/// space is reached, the functions return `error-code.quota`. `get` finds the instance's WASI state in the store's
/// data.
pub(crate) fn add_to_linker<T: WasiView + Budgeted + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &Wasi,
) -> wasmtime::Result<()> {
    linker.instance("wasi:filesystem/types@0.2.12")?.func_wrap_async(
        "[method]descriptor.open-at",
        move |mut store: StoreContextMut<'_, T>,
              (folder, follow, path, mut open, flags): Open<
            preview2::PathFlags,
            preview2::OpenFlags,
            preview2::DescriptorFlags,
        >| {
            Box::new(async move {
                use preview2::{ErrorCode, HostDescriptor as _};
                if are_too_long([&path]) {
                    return Ok((Err(ErrorCode::NameTooLong),));
                }
                let state = store.data_mut();
                let Ok(place) = state.budget().0.files.take() else { return Ok((Err(ErrorCode::Quota),)) };
                let create = open.contains(preview2::OpenFlags::CREATE);
                let writing = charge(get(state).disk.clone().filter(|_| create), ENTRY).await;
                let full = writing.is_err();
                if full && open.contains(preview2::OpenFlags::EXCLUSIVE) {
                    return Ok((Err(ErrorCode::Quota),));
                }
                // If the limit on disk space is reached, the guest may still open and truncate an existing file.
                if full {
                    open &= !preview2::OpenFlags::CREATE;
                }
                let opened = state.filesystem().open_at(folder, follow, path, open, flags).await;
                Ok((match told2(state, opened)? {
                    Ok(file) => Ok(keep(state, file, place)?),
                    Err(ErrorCode::NoEntry) if full => Err(ErrorCode::Quota),
                    error => error,
                },))
            })
        },
    )?;
    linker.instance("wasi:filesystem/types@0.3.0")?.func_wrap_concurrent(
        "[method]descriptor.open-at",
        move |accessor: &Accessor<T>,
              (folder, follow, path, mut open, flags): Open<
            preview3::PathFlags,
            preview3::OpenFlags,
            preview3::DescriptorFlags,
        >| {
            Box::pin(async move {
                use preview3::{ErrorCode, HostDescriptorWithStore as _};
                if are_too_long([&path]) {
                    return Ok((Err(ErrorCode::NameTooLong),));
                }
                let (place, disk) = accessor.with(|mut access| {
                    let state = access.data_mut();
                    (state.budget().0.files.take(), get(state).disk.clone())
                });
                let Ok(place) = place else { return Ok((Err(ErrorCode::Quota),)) };
                let create = open.contains(preview3::OpenFlags::CREATE);
                let writing = charge(disk.filter(|_| create), ENTRY).await;
                let full = writing.is_err();
                if full && open.contains(preview3::OpenFlags::EXCLUSIVE) {
                    return Ok((Err(ErrorCode::Quota),));
                }
                if full {
                    open &= !preview3::OpenFlags::CREATE;
                }
                let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
                let opened = WasiFilesystem::open_at(&files, folder, follow, path, open, flags).await;
                Ok((match told3(opened)? {
                    Ok(file) => Ok(accessor.with(|mut access| keep(access.data_mut(), file, place))?),
                    Err(ErrorCode::NoEntry) if full => Err(ErrorCode::Quota),
                    error => error,
                },))
            })
        },
    )?;
    Ok(())
}

/// Records that the guest has opened a file or a folder. The file or folder counts for the instance's limit on open
/// files until the guest has closed the file or folder.
fn keep<T: WasiView + Budgeted>(
    state: &mut T,
    descriptor: Resource<Descriptor>,
    place: Place,
) -> wasmtime::Result<Resource<Descriptor>> {
    let file = match state.filesystem().table.get(&descriptor)? {
        Descriptor::File(file) => file.file.clone(),
        Descriptor::Dir(folder) => folder.dir.clone(),
    };
    state.budget().0.files.opened(&file, place);
    Ok(descriptor)
}

/// The parameters of `descriptor.open-at`: the folder, the path flags, the path, the open flags, and the descriptor
/// flags. WASI 0.2 and WASI 0.3 have different types for the flags.
type Open<P, O, D> = (Resource<Descriptor>, P, String, O, D);
