//! `wasi:filesystem`: how many files a guest may hold open.

use wasmtime::StoreContextMut;
use wasmtime::component::{Accessor, Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types as preview2;
use wasmtime_wasi::p3::bindings::filesystem::types as preview3;

use crate::budget::Limit;
use crate::budget::instance::Budgeted;

/// Replaces the functions with which a guest opens a file or a folder. Beyond the budget they return
/// `error-code.quota`.
pub(crate) fn add_to_linker<T: WasiView + Budgeted + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance("wasi:filesystem/types@0.2.12")?.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, T>,
         (folder, follow, path, open, flags): Open<
            preview2::PathFlags,
            preview2::OpenFlags,
            preview2::DescriptorFlags,
        >| {
            Box::new(async move {
                use preview2::{ErrorCode, Host as _, HostDescriptor as _};
                let state = store.data_mut();
                if state.charge(Limit::Files, 1).is_err() {
                    return Ok((Err(ErrorCode::Quota),));
                }
                match state.filesystem().open_at(folder, follow, path, open, flags).await {
                    Ok(file) => Ok((Ok(file),)),
                    Err(error) => Ok((Err(state.filesystem().convert_error_code(error)?),)),
                }
            })
        },
    )?;
    linker.instance("wasi:filesystem/types@0.3.0")?.func_wrap_concurrent(
        "[method]descriptor.open-at",
        |accessor: &Accessor<T>,
         (folder, follow, path, open, flags): Open<
            preview3::PathFlags,
            preview3::OpenFlags,
            preview3::DescriptorFlags,
        >| {
            Box::pin(async move {
                use preview3::{ErrorCode, Host as _, HostDescriptorWithStore as _};
                if accessor.with(|mut access| access.data_mut().charge(Limit::Files, 1)).is_err() {
                    return Ok((Err(ErrorCode::Quota),));
                }
                let files = accessor.with_getter::<WasiFilesystem>(T::filesystem);
                match WasiFilesystem::open_at(&files, folder, follow, path, open, flags).await {
                    Ok(file) => Ok((Ok(file),)),
                    Err(error) => {
                        let error = files.with(|mut access| access.get().convert_error_code(error));
                        Ok((Err(error?),))
                    }
                }
            })
        },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

/// The parameters of `descriptor.open-at`: the folder, whether to follow links, the path, and how to open it.
type Open<P, O, D> = (Resource<Descriptor>, P, String, O, D);
