//! Keeps the idle instances of one component on one thread.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::budget::memory::is_ample;
use crate::component::Component;
use crate::component::instance::Instance;
use crate::component::no_instance::{Full, NoInstance};
use crate::interfaces::chaining::Chaining;
use crate::process::shutdown::Shutdown;

/// The largest number of idle instances in a pool. Each idle instance takes some memory, and a thread rarely serves
/// more than this number of requests at the same time.
const MAX_IDLE: usize = 128;

/// For each pool of the process, the number of its idle instances.
static IDLE: Mutex<Vec<Weak<AtomicU64>>> = Mutex::new(Vec::new());

/// Returns the number of idle instances of the process.
pub(crate) fn idle_instances() -> u64 {
    let pools = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    pools.iter().filter_map(Weak::upgrade).map(|idle| idle.load(Relaxed)).sum()
}

/// Returns how many idle instances each of `pools` pools may keep. All pools together keep at most half of
/// `max_instances`, because a pool cannot use the idle instances of other pools.
pub(crate) fn max_idle(max_instances: NonZeroU32, pools: usize) -> usize {
    MAX_IDLE.min(max_instances.get() as usize / 2 / pools.max(1))
}

/// The instances of one component on one thread. Instances stay on their thread, so the pool needs no locks.
pub(crate) struct Pool {
    pub(crate) component: Arc<Component>,
    pub(crate) shutdown: Shutdown,
    /// Connects the component to other components of the application.
    chaining: Chaining,
    idle: RefCell<Vec<Instance>>,
    /// The length of `idle`, which other threads can read.
    idle_count: Arc<AtomicU64>,
    /// The number of idle instances that the pool keeps. The number is 0 if no more requests will come.
    max_idle: Cell<usize>,
    /// The number of requests that have lost their instance and wait for another one. Waiting requests have priority
    /// over new requests.
    waiting: Cell<usize>,
}

impl Pool {
    pub(crate) fn new(component: Arc<Component>, shutdown: Shutdown, chaining: Chaining, max_idle: usize) -> Self {
        let (idle, max_idle, waiting) = (RefCell::default(), Cell::new(max_idle), Cell::new(0));
        let idle_count = Arc::<AtomicU64>::default();
        let mut pools = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&idle_count));
        Self { component, shutdown, chaining, idle, idle_count, max_idle, waiting }
    }

    /// Takes an instance for a request. Prefers the idle instance that was used last, because its memory is most likely
    /// still in the processor's caches. If no instance is idle, makes a new instance.
    pub(crate) async fn take(&self) -> Result<Instance, NoInstance> {
        if self.waiting.get() > 0 {
            return Err(NoInstance::Full(Full::TasksWait));
        }
        let popped = {
            let mut idle = self.idle.borrow_mut();
            let popped = idle.pop();
            self.count(&idle);
            popped
        };
        match popped {
            Some(instance) => Ok(instance),
            None => self.fresh().await,
        }
    }

    /// Makes a new instance.
    pub(crate) async fn fresh(&self) -> Result<Instance, NoInstance> {
        self.component.instantiate(self.shutdown.clone(), self.chaining.clone()).await
    }

    /// Keeps an instance for another request, if the instance may serve another request and the pool may keep the
    /// instance. An instance that is not kept is dropped. Call this function after the teardown of the instance's last
    /// request.
    pub(crate) fn give_back(&self, instance: Instance) {
        let mut idle = self.idle.borrow_mut();
        let room = idle.len() < self.max_idle.get() && self.waiting.get() == 0 && is_ample();
        if instance.served < self.component.settings.reuse.get() && room {
            idle.push(instance);
            self.count(&idle);
        }
    }

    /// Stores the number of idle instances for other threads. Only the pool's own thread writes this number, so the
    /// store needs no atomic addition.
    fn count(&self, idle: &[Instance]) {
        self.idle_count.store(idle.len() as u64, Relaxed);
    }

    /// Drops the idle instances. From now on, the pool drops each instance when its request ends.
    pub(crate) fn retire(&self) {
        self.max_idle.set(0);
        self.idle.take();
        self.count(&[]);
    }

    /// Joins the line of requests that wait for an instance, and drops the idle instances. While this line is not
    /// empty, the pool takes no new requests and keeps no idle instances.
    pub(crate) fn wait_for_room(self: &Rc<Self>) -> InLine {
        self.idle.borrow_mut().clear();
        self.count(&[]);
        self.waiting.update(|waiting| waiting + 1);
        InLine(self.clone())
    }
}

/// A request's place in the line for an instance. Dropping this value gives up the place.
pub(crate) struct InLine(Rc<Pool>);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.waiting.update(|waiting| waiting - 1);
    }
}
