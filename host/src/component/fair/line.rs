//! The waiting line of computing guests on one thread. While a guest has its turn, only this guest computes. Between
//! two turns, the thread handles its timers, sockets and other tokio tasks.
//!
//! A guest that computes for a response and a guest that computes for tasks get their turns alternately, so that
//! responses and tasks both make progress.

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
    /// The guest computes for a response, and a client waits for the response.
    Response,
    /// The guest computes for a request's tasks or for the request's teardown.
    Tasks,
}

struct Line {
    /// True if one of the thread's guests now has its turn to compute. When the guest with the turn yields, the line
    /// gives the turn to the next guest.
    moving: Cell<bool>,
    /// The guests that wait to compute for a response. If a guest has dropped its [`Place`], the line cannot upgrade
    /// the guest's weak reference, and skips the guest.
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

    /// Gives the turn to the next guest. `after` is the purpose of the guest whose turn has just ended.
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
    /// Gives this guest its turn to compute. The guest wakes up after the thread has handled its timers, sockets and
    /// other tokio tasks.
    fn call(&self) {
        self.first.set(true);
        // One poll of `yield_now` is enough: tokio then wakes the task after the thread has done its other work, even
        // if the future is dropped.
        _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&self.waker.borrow()));
    }
}

/// A guest's place in the waiting line of its thread. If a guest drops its place during its turn, the turn ends and the
/// next guest gets its turn.
pub(super) struct Place(Rc<Waiter>);

impl Place {
    /// Puts the calling guest into this thread's line, behind the waiting guests with the same `purpose`. If no guest
    /// has a turn, the calling guest gets its turn.
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

    /// Reports whether it is this guest's turn to compute. If this guest must still wait, the line wakes `waker` when
    /// this guest's turn begins.
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
