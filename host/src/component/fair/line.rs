//! The line of computing guests on one thread. They take turns, and between two turns the thread does its other work.
//!
//! The turns alternate between responses and tasks, so that neither kind waits without end.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};

thread_local! {
    static LINE: Line = const { Line::new() };
}

/// The purpose of a guest's computation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A response, for which a client waits.
    Response,
    /// A request's tasks, and its teardown.
    Tasks,
}

struct Line {
    /// Whether a guest has its turn now. It passes the turn on when it yields.
    moving: Cell<bool>,
    /// The waiting guests that compute for a response. The reference to a guest that has left the line can no longer be
    /// upgraded.
    responses: RefCell<VecDeque<Weak<Waiter>>>,
    tasks: RefCell<VecDeque<Weak<Waiter>>>,
}

impl Line {
    const fn new() -> Self {
        Self {
            moving: Cell::new(false),
            responses: RefCell::new(VecDeque::new()),
            tasks: RefCell::new(VecDeque::new()),
        }
    }

    fn waiting(&self, purpose: Purpose) -> &RefCell<VecDeque<Weak<Waiter>>> {
        match purpose {
            Purpose::Response => &self.responses,
            Purpose::Tasks => &self.tasks,
        }
    }

    fn next(&self, purpose: Purpose) -> Option<Rc<Waiter>> {
        let mut waiting = self.waiting(purpose).borrow_mut();
        std::iter::from_fn(|| waiting.pop_front()).find_map(|waiter| waiter.upgrade())
    }

    /// Gives the turn to the next guest. The previous guest computed for the purpose `after`.
    fn go_on(&self, after: Purpose) {
        let other = if after == Purpose::Response { Purpose::Tasks } else { Purpose::Response };
        let next = self.next(other).or_else(|| self.next(after));
        self.moving.set(next.is_some());
        if let Some(next) = next {
            next.call();
        }
    }
}

struct Waiter {
    purpose: Purpose,
    first: Cell<bool>,
    waker: RefCell<Waker>,
}

impl Waiter {
    /// Gives the guest its turn, and wakes it once the thread has done its other work.
    fn call(&self) {
        self.first.set(true);
        // After one poll, it wakes the task after the thread's other work. It need not be kept for this.
        _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&self.waker.borrow()));
    }
}

/// A guest's place in its thread's line. Dropping it lets the next guest go on.
pub(super) struct Place(Rc<Waiter>);

impl Place {
    /// Takes the last place among the guests of this thread that compute for the same purpose.
    pub(super) fn last(purpose: Purpose, waker: &Waker) -> Self {
        let waiter = Rc::new(Waiter { purpose, first: Cell::new(false), waker: RefCell::new(waker.clone()) });
        LINE.with(|line| {
            if line.moving.replace(true) {
                line.waiting(purpose).borrow_mut().push_back(Rc::downgrade(&waiter));
            } else {
                waiter.call();
            }
        });
        Self(waiter)
    }

    /// Whether the guest has its turn. Otherwise wakes `waker` when the guest gets its turn.
    pub(super) fn is_first(&self, waker: &Waker) -> bool {
        self.0.waker.borrow_mut().clone_from(waker);
        self.0.first.get()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.first.get() {
            LINE.with(|line| line.go_on(self.0.purpose));
        }
    }
}
