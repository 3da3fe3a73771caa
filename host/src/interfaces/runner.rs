//! Calls the functions of the guest's export `runner`, which run tasks and the teardown after the response.

use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, Component, ComponentExportIndex, Instance, TypedFunc};

use crate::contract::bindings::{ResponseOutcome, TaskError, types};

/// The indices with which the host finds the functions of the export `runner` in each instance of a component.
pub(crate) struct RunnerIndices {
    run: ComponentExportIndex,
    teardown: ComponentExportIndex,
}

/// The functions of an instance's export `runner`.
pub(crate) struct Runner {
    /// The function `run`. The task is boxed, because the host moves it several times. In a build with the profile
    /// `dev`, moving an unboxed task takes 2 % of all instructions that the host needs to run tasks.
    run: TypedFunc<(Box<types::Task>,), (Result<(), TaskError>,)>,
    teardown: TypedFunc<(ResponseOutcome,), (Result<(), String>,)>,
}

impl RunnerIndices {
    /// Finds the `runner` that the component exports as `name`.
    pub(crate) fn find(component: &Component, name: &str) -> Option<Self> {
        let runner = component.get_export_index(None, name)?;
        let index = |function: &str| component.get_export_index(Some(&runner), function);
        Some(Self { run: index("run")?, teardown: index("teardown")? })
    }

    /// Loads the `runner` of an instance. Returns an error if the functions of `runner` do not have the types that
    /// `wit/` defines.
    pub(crate) fn load(&self, mut store: impl AsContextMut, instance: &Instance) -> wasmtime::Result<Runner> {
        Ok(Runner {
            run: instance.get_typed_func(&mut store, self.run)?,
            teardown: instance.get_typed_func(&mut store, self.teardown)?,
        })
    }
}

impl Runner {
    pub(crate) async fn run<T: Send>(
        &self,
        accessor: &Accessor<T>,
        task: Box<types::Task>,
    ) -> wasmtime::Result<Result<(), TaskError>> {
        let (result,) = self.run.call_concurrent(accessor, (task,)).await?;
        Ok(result)
    }

    pub(crate) async fn teardown<T: Send>(
        &self,
        accessor: &Accessor<T>,
        outcome: ResponseOutcome,
    ) -> wasmtime::Result<Result<(), String>> {
        let (result,) = self.teardown.call_concurrent(accessor, (outcome,)).await?;
        Ok(result)
    }
}
