//! What the host keeps for one instance: its WASI, its limits, and the request that it serves.

use std::cell::Cell;
use std::sync::Arc;

use tokio::sync::watch;
use wasmtime::component::ResourceTable;
use wasmtime::{StoreLimits, StoreLimitsBuilder};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::component::{Component, Layer};
use crate::durable::TaskStore;
use crate::instance::Phase;
use crate::last_words::LastWords;
use crate::outgoing::{Arriving, Outgoing};
use crate::output::Lines;
use crate::scope::Scope;
use crate::shutdown::Shutdown;

/// The data of one instance's store.
pub(crate) struct State {
    wasi: WasiCtx,
    /// The guest's stderr, if each of its lines is to be an event.
    lines: Option<Lines>,
    http: WasiHttpCtx,
    outgoing: Outgoing,
    arriving: Arriving,
    table: ResourceTable,
    /// The component's layers.
    pub(crate) layers: Arc<[Layer]>,
    /// Where the component's durable tasks are stored.
    pub(crate) store: Option<TaskStore>,
    pub(crate) limits: StoreLimits,
    /// The request being served, from its start to the end of its teardown.
    pub(crate) scope: Option<Arc<Scope>>,
    /// The status that the guest set last, if HTTP has no such status.
    pub(crate) refused_status: Option<u16>,
    /// Whether the guest has something to tear down.
    pub(crate) needs_teardown: Cell<bool>,
    /// What the guest is doing, and until when it may.
    pub(crate) phase: watch::Sender<Phase>,
    /// What the guest wrote to stderr last.
    pub(crate) last_words: LastWords,
    pub(crate) shutdown: Shutdown,
}

impl State {
    pub(crate) fn new(component: &Component, shutdown: Shutdown) -> wasmtime::Result<Self> {
        let (lines, last_words) = (component.lines(), LastWords::default());
        Ok(Self {
            wasi: component.wasi(lines.as_ref(), &last_words)?,
            lines,
            http: WasiHttpCtx::new(),
            outgoing: component.outgoing(),
            arriving: Arriving,
            table: ResourceTable::new(),
            layers: component.layers.clone(),
            store: component.store.clone(),
            // A guest that may not grow its memory is told so by `memory.grow`, and can still answer.
            limits: StoreLimitsBuilder::new().memory_size(component.settings.memory.bytes()).build(),
            scope: None,
            refused_status: None,
            needs_teardown: Cell::new(false),
            phase: watch::Sender::new(Phase::idle()),
            last_words,
            shutdown,
        })
    }

    /// Makes `scope` the request that is being served, or none.
    pub(crate) fn serve(&mut self, scope: Option<Arc<Scope>>) {
        if let Some(lines) = &self.lines {
            lines.belong_to(scope.as_ref().map(|scope| scope.id.as_str()));
        }
        self.scope = scope;
    }

    /// Begins a phase: what the guest is doing from now on. Most guests never ask for it.
    pub(crate) fn enter(&self, phase: Phase) {
        self.last_words.forget();
        let asked = self.phase.receiver_count() > 0;
        self.phase.send_if_modified(|current| {
            *current = phase;
            asked
        });
    }

    /// How many handles the guest holds.
    pub(crate) fn handles(&mut self) -> usize {
        self.table.iter_mut().count()
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl State {
    /// The view through which a request arrives: the guest sees all of the request's headers.
    pub(crate) fn arriving(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.arriving }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut self.outgoing }
    }
}
