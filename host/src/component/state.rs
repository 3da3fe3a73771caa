//! The host's data for one instance: the context of each interface that the guest may call, and the instance's limits.

use std::sync::Arc;

use epilogue_spin::key_value::{ComponentStores, KeyValue, KeyValueView};
use epilogue_spin::variables::ComponentVariables;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::budget::instance::{Budgeted, InstanceBudget, MAX_MAP};
use crate::component::memory::LinearMemory;
use crate::interfaces::background::{Background, Phase};
use crate::interfaces::outgoing::{Arriving, Outgoing};
use crate::interfaces::status::RefusedStatus;
use crate::interfaces::wasi::Wasi;
use crate::tasks::scope::Scope;

/// The host's data for one instance, which is part of the instance's wasmtime store.
pub(crate) struct State {
    pub(crate) wasi: Wasi,
    http: WasiHttpCtx,
    arriving: Arriving,
    outgoing: Outgoing,
    pub(crate) variables: ComponentVariables,
    /// An empty set of variables, for components that do not inherit the application's variables.
    pub(crate) no_variables: ComponentVariables,
    key_value: KeyValue,
    /// An empty set of key-value stores, for components that do not inherit the application's stores.
    no_key_value: KeyValue,
    pub(crate) background: Background,
    pub(crate) refused_status: RefusedStatus,
    table: ResourceTable,
    budget: InstanceBudget,
    pub(crate) memory: LinearMemory,
}

impl State {
    /// Makes the host's data for a new instance. `memory` is the largest size of the instance's linear memory, in
    /// bytes.
    pub(crate) fn new(
        wasi: Wasi,
        outgoing: Outgoing,
        variables: ComponentVariables,
        stores: ComponentStores,
        background: Background,
        memory: usize,
    ) -> Self {
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_MAP);
        Self {
            wasi,
            http,
            arriving: Arriving,
            outgoing,
            variables,
            no_variables: ComponentVariables::default(),
            key_value: KeyValue::new(stores),
            no_key_value: KeyValue::new(ComponentStores::default()),
            background,
            refused_status: RefusedStatus::default(),
            table: ResourceTable::new(),
            budget: InstanceBudget::default(),
            memory: LinearMemory::new(memory),
        }
    }

    /// Sets the instance's current request to `scope`. `None` means that the instance serves no request.
    pub(crate) fn serve(&mut self, scope: Option<Arc<Scope>>) {
        self.wasi.printed.belong_to(scope.as_ref().and_then(|scope| scope.output()));
        self.wasi.belong_to(scope.as_deref());
        self.outgoing.scope.clone_from(&scope);
        self.background.scope = scope;
    }

    /// Records that the host now calls a function of the guest. `phase` has the start and the deadline of this call.
    pub(crate) fn begin(&self, phase: Phase) {
        self.wasi.last_words.forget();
        self.background.enter(phase);
    }

    /// Returns the number of handles that the guest holds.
    pub(crate) fn handles(&mut self) -> usize {
        self.table.iter_mut().count()
    }

    /// Returns the instance's key-value stores.
    pub(crate) fn key_value(&mut self) -> KeyValueView<'_> {
        KeyValueView { key_value: &mut self.key_value, table: &mut self.table }
    }

    /// Returns an empty set of key-value stores, for components that do not inherit the application's stores.
    pub(crate) fn no_key_value(&mut self) -> KeyValueView<'_> {
        KeyValueView { key_value: &mut self.no_key_value, table: &mut self.table }
    }

    /// Returns the view of WASI HTTP that the host uses for an arriving request. With this view, the guest also sees
    /// the headers that the guest cannot set itself, such as `host`.
    pub(crate) fn arriving(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.arriving }
    }
}

impl Budgeted for State {
    fn budget(&mut self) -> (&mut InstanceBudget, &mut ResourceTable) {
        (&mut self.budget, &mut self.table)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi.ctx, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outgoing }
    }
}
