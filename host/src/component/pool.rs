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

/// The largest number of idle instances in a pool. The number is limited because each idle instance takes some memory,
/// and a thread rarely serves more than 128 requests at the same time.
const MAX_IDLE: usize = 128;

/// The number of idle instances in each pool of the process.
static IDLE: Mutex<Vec<Weak<AtomicU64>>> = Mutex::new(Vec::new());

/// Returns the number of idle instances in all pools of the process.
pub(crate) fn idle_instances() -> u64 {
    let pools = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
    pools.iter().filter_map(Weak::upgrade).map(|idle| idle.load(Relaxed)).sum()
}

/// Returns the number of idle instances that each of `pools` pools may keep. All pools together keep at most half of
/// `max_instances`. A pool cannot use the idle instances of other pools, so the other half is left for new instances.
pub(crate) fn max_idle(max_instances: NonZeroU32, pools: usize) -> usize {
    MAX_IDLE.min(max_instances.get() as usize / 2 / pools.max(1))
}

/// The instances of one component on one thread. Instances stay on their thread, so the pool needs no locks.
pub(crate) struct Pool {
    pub(crate) component: Arc<Component>,
    pub(crate) shutdown: Shutdown,
    /// Connects the component to the other components of the application, so that this component's instances can send
    /// requests to the other components.
    chaining: Chaining,
    idle: RefCell<Vec<Instance>>,
    /// The number of instances in `idle`, for other threads to read.
    idle_count: Arc<AtomicU64>,
    /// The largest number of idle instances that the pool keeps. The value is 0 if the pool will get no more requests.
    max_idle: Cell<usize>,
    /// The number of requests whose tasks wait for a new instance after the request's instance was lost, for example
    /// because of a trap. These requests have priority over new requests.
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

    /// Takes an instance for a request: the idle instance that was used last, because this instance's memory is most
    /// likely still in the processor's caches. If no instance is idle, makes a new instance.
    pub(crate) async fn take(&self) -> Result<Instance, NoInstance> {
        if self.waiting.get() > 0 {
            return Err(NoInstance::Full(Full::TasksWait));
        }
        let idle = self.idle.borrow_mut().pop();
        self.count_idle();
        match idle {
            Some(instance) => Ok(instance),
            None => self.fresh().await,
        }
    }

    /// Makes a new instance.
    pub(crate) async fn fresh(&self) -> Result<Instance, NoInstance> {
        self.component.instantiate(self.shutdown.clone(), self.chaining.clone()).await
    }

    /// Takes back an instance after the teardown of the instance's request. Keeps the instance for another request, if
    /// the instance may serve another request and the pool has room for one more idle instance. In all other cases,
    /// drops the instance.
    pub(crate) fn give_back(&self, instance: Instance) {
        let room = self.idle.borrow().len() < self.max_idle.get() && self.waiting.get() == 0 && is_ample();
        if instance.served < self.component.settings.reuse.get() && room {
            self.idle.borrow_mut().push(instance);
            self.count_idle();
        }
    }

    /// Stores the number of idle instances in `idle_count`, so that other threads can read the number. Only the pool's
    /// own thread writes `idle_count`, so no atomic addition is necessary.
    fn count_idle(&self) {
        self.idle_count.store(self.idle.borrow().len() as u64, Relaxed);
    }

    /// Drops the idle instances. From now on, the pool also drops each instance whose request ends.
    pub(crate) fn retire(&self) {
        self.max_idle.set(0);
        self.idle.take();
        self.count_idle();
    }

    /// Puts a request into the line of requests that wait for a new instance, and drops the idle instances to make
    /// room. While requests wait in this line, the pool accepts no new requests and keeps no idle instances.
    pub(crate) fn wait_for_room(self: &Rc<Self>) -> InLine {
        self.idle.borrow_mut().clear();
        self.count_idle();
        self.waiting.update(|waiting| waiting + 1);
        InLine(self.clone())
    }
}

/// A request's place in the pool's line of requests that wait for a new instance. When this value is dropped, the
/// request leaves the line.
pub(crate) struct InLine(Rc<Pool>);

impl Drop for InLine {
    fn drop(&mut self) {
        self.0.waiting.update(|waiting| waiting - 1);
    }
}
