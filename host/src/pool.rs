//! The instances of one component on one thread.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use crate::component::{Component, NoInstance};
use crate::instance::Instance;
use crate::shutdown::Shutdown;

/// Idle instances kept for reuse. More than ever serve at once on one thread are of no use, and each holds some memory.
const MAX_IDLE: usize = 128;

/// One component's instances on one thread. Instances stay on their thread, so nothing here is locked.
pub(crate) struct Pool {
    pub(crate) component: Arc<Component>,
    pub(crate) shutdown: Shutdown,
    idle: RefCell<Vec<Instance>>,
    /// Whether no more requests will come.
    retired: Cell<bool>,
}

impl Pool {
    pub(crate) fn new(component: Arc<Component>, shutdown: Shutdown) -> Self {
        Self { component, shutdown, idle: RefCell::default(), retired: Cell::new(false) }
    }

    /// An instance for a request: the one used last, whose memory is most likely still in the processor's caches, or a
    /// new one.
    pub(crate) async fn take(&self) -> Result<Instance, NoInstance> {
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some(instance) => Ok(instance),
            None => self.fresh().await,
        }
    }

    /// An instance that has served nothing.
    pub(crate) async fn fresh(&self) -> Result<Instance, NoInstance> {
        self.component.instantiate(self.shutdown.clone()).await
    }

    /// Keeps an instance for the next request, if it may serve another. Its last one must have been torn down.
    pub(crate) fn give_back(&self, instance: Instance) {
        let mut idle = self.idle.borrow_mut();
        if !self.retired.get() && instance.served < self.component.settings.reuse.get() && idle.len() < MAX_IDLE {
            idle.push(instance);
        }
    }

    /// Drops the instances that are idle, and from now on each as its request ends.
    pub(crate) fn retire(&self) {
        self.retired.set(true);
        self.idle.take();
    }
}
