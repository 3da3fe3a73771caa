//! The instances of one component on one thread.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;

use crate::budget::memory::is_ample;
use crate::component::Component;
use crate::component::instance::Instance;
use crate::component::no_instance::{Full, NoInstance};
use crate::interfaces::chaining::Chaining;
use crate::process::shutdown::Shutdown;

/// The largest number of idle instances. Each holds some memory, and a thread rarely serves so many requests at the
/// same time.
const MAX_IDLE: usize = 128;

/// How many idle instances each of `pools` pools may keep. All pools together keep at most half of `max_instances`,
/// because no other pool can use an idle instance.
pub(crate) fn max_idle(max_instances: NonZeroU32, pools: usize) -> usize {
    MAX_IDLE.min(max_instances.get() as usize / 2 / pools.max(1))
}

/// One component's instances on one thread. Instances stay on their thread, so nothing here is locked.
pub(crate) struct Pool {
    pub(crate) component: Arc<Component>,
    pub(crate) shutdown: Shutdown,
    /// Connects the component to others.
    chaining: Chaining,
    idle: RefCell<Vec<Instance>>,
    /// How many idle instances the pool keeps: 0 once no more requests will come.
    max_idle: Cell<usize>,
    /// How many requests have lost their instance and wait for another one. They have priority over new requests.
    waiting: Cell<usize>,
}

impl Pool {
    pub(crate) fn new(component: Arc<Component>, shutdown: Shutdown, chaining: Chaining, max_idle: usize) -> Self {
        let (idle, max_idle, waiting) = (RefCell::default(), Cell::new(max_idle), Cell::new(0));
        Self { component, shutdown, chaining, idle, max_idle, waiting }
    }

    /// Takes an instance for a request: the idle one that was used last, because its memory is most likely still in the
    /// processor's caches, or else a new one.
    pub(crate) async fn take(&self) -> Result<Instance, NoInstance> {
        if self.waiting.get() > 0 {
            return Err(NoInstance::Full(Full::TasksWait));
        }
        let idle = self.idle.borrow_mut().pop();
        match idle {
            Some(instance) => Ok(instance),
            None => self.fresh().await,
        }
    }

    /// Makes an instance that has served no request.
    pub(crate) async fn fresh(&self) -> Result<Instance, NoInstance> {
        self.component.instantiate(self.shutdown.clone(), self.chaining.clone()).await
    }

    /// Keeps an instance for the next request, if it may serve another one. Call it after the teardown of the
    /// instance's last request.
    pub(crate) fn give_back(&self, instance: Instance) {
        let mut idle = self.idle.borrow_mut();
        let room = idle.len() < self.max_idle.get() && self.waiting.get() == 0 && is_ample();
        if instance.served < self.component.settings.reuse.get() && room {
            idle.push(instance);
        }
    }

    /// Drops the idle instances. From now on each other instance is dropped when its request ends.
    pub(crate) fn retire(&self) {
        self.max_idle.set(0);
        self.idle.take();
    }

    /// Waits in the line for room. While the line is not empty, no request begins and no instance is kept idle.
    pub(crate) fn wait_for_room(self: &Rc<Self>) -> InLine {
        self.idle.borrow_mut().clear();
        self.waiting.update(|waiting| waiting + 1);
        InLine(self.clone())
    }
}

/// A place in the line for room. Dropping it leaves the line.
pub(crate) struct InLine(Rc<Pool>);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.waiting.update(|waiting| waiting - 1);
    }
}
