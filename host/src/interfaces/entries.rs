//! `wasi:filesystem`: the folders and links that a guest makes in the copy of its files.
//!
//! Each of them counts against the component's budget on the disk. If the budget is used up, the guest gets
//! `error-code.quota`.

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p3::bindings::filesystem::types as preview3;

use crate::budget::disk::ENTRY;
use crate::interfaces::filesystem::{charge, told2, told3};
use crate::interfaces::wasi::Wasi;

/// The parameters of `link-at`: the folder and the path of the file, whether to follow links, and the folder and path of
/// its new name.
type Link<P> = (Resource<Descriptor>, P, String, Resource<Descriptor>, String);

/// Replaces the functions with which a guest makes folders and links. `get` finds the component's budget in the store's
/// data.
pub(crate) fn add_to_linker<T: WasiView + 'static>(
    linker: &mut Linker<T>,
    get: fn(&mut T) -> &Wasi,
) -> wasmtime::Result<()> {
    preview2(linker, get)?;
    preview3(linker, get)
}

fn preview2<T: WasiView + 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> &Wasi) -> wasmtime::Result<()> {
    use preview2::{ErrorCode::Quota, HostDescriptor as _};
    let mut types = linker.instance("wasi:filesystem/types@0.2.12")?;
    types.func_wrap_async(
        "[method]descriptor.create-directory-at",
        move |mut store: StoreContextMut<'_, T>, (folder, path): (Resource<Descriptor>, String)| {
            Box::new(async move {
                let state = store.data_mut();
                let Ok(_writing) = charge(get(state).disk.clone(), ENTRY).await else { return Ok((Err(Quota),)) };
                let made = state.filesystem().create_directory_at(folder, path).await;
                Ok((told2(state, made)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.symlink-at",
        move |mut store: StoreContextMut<'_, T>, (folder, to, path): (Resource<Descriptor>, String, String)| {
            Box::new(async move {
                let state = store.data_mut();
                let Ok(_writing) = charge(get(state).disk.clone(), ENTRY).await else { return Ok((Err(Quota),)) };
                let made = state.filesystem().symlink_at(folder, to, path).await;
                Ok((told2(state, made)?,))
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.link-at",
        move |mut store: StoreContextMut<'_, T>, (folder, follow, path, to, name): Link<preview2::PathFlags>| {
            Box::new(async move {
                let state = store.data_mut();
                let Ok(_writing) = charge(get(state).disk.clone(), ENTRY).await else { return Ok((Err(Quota),)) };
                let made = state.filesystem().link_at(folder, follow, path, to, name).await;
                Ok((told2(state, made)?,))
            })
        },
    )
}

fn preview3<T: WasiView + 'static>(linker: &mut Linker<T>, get: fn(&mut T) -> &Wasi) -> wasmtime::Result<()> {
    use preview3::{ErrorCode::Quota, HostDescriptorWithStore as _};
    let mut types = linker.instance("wasi:filesystem/types@0.3.0")?;
    types.func_wrap_concurrent(
        "[method]descriptor.create-directory-at",
        move |accessor: &Accessor<T>, (folder, path): (Resource<Descriptor>, String)| {
            Box::pin(async move {
                let disk = accessor.with(|mut access| get(access.data_mut()).disk.clone());
                let Ok(_writing) = charge(disk, ENTRY).await else { return Ok((Err(Quota),)) };
                let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
                Ok((told3(WasiFilesystem::create_directory_at(&files, folder, path).await)?,))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.symlink-at",
        move |accessor: &Accessor<T>, (folder, to, path): (Resource<Descriptor>, String, String)| {
            Box::pin(async move {
                let disk = accessor.with(|mut access| get(access.data_mut()).disk.clone());
                let Ok(_writing) = charge(disk, ENTRY).await else { return Ok((Err(Quota),)) };
                let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
                Ok((told3(WasiFilesystem::symlink_at(&files, folder, to, path).await)?,))
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.link-at",
        move |accessor: &Accessor<T>, (folder, follow, path, to, name): Link<preview3::PathFlags>| {
            Box::pin(async move {
                let disk = accessor.with(|mut access| get(access.data_mut()).disk.clone());
                let Ok(_writing) = charge(disk, ENTRY).await else { return Ok((Err(Quota),)) };
                let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
                Ok((told3(WasiFilesystem::link_at(&files, folder, follow, path, to, name).await)?,))
            })
        },
    )
}
