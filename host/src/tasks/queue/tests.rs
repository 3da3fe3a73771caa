use epilogue_manifest::values::{Size, Value as _};
use epilogue_rules::limits::MAX_NAME;

use super::*;

fn queue(settings: Settings) -> Queue {
    Queue::new(&settings, false, Backlog::default())
}

fn size(text: &str) -> Size {
    Size::parse(text).unwrap()
}

fn options() -> TaskOptions {
    TaskOptions {
        run_when: RunWhen::Success,
        timeout: None,
        max_attempts: None,
        backoff: None,
        cancel_on_disconnect: false,
        instance_bound: false,
        durable: false,
    }
}

fn add(queue: &mut Queue, args: usize) -> Result<TaskId, EnqueueError> {
    queue.accept(0, "task".into(), vec![0; args], options()).map(|task| queue.push(task))
}

#[test]
fn tasks_leave_in_the_order_of_registration_with_ids_from_one() {
    let mut queue = queue(Settings::default());
    for expected in 1..=3 {
        assert_eq!(add(&mut queue, 0).unwrap(), expected);
    }
    let ids: Vec<_> = std::iter::from_fn(|| queue.next()).map(|task| task.id).collect();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn limits_are_exact_and_named() {
    let settings =
        || Settings { max_tasks: 2, max_task_args: size("4"), max_request_args: size("6"), ..Settings::default() };
    let mut full = queue(settings());
    add(&mut full, 0).unwrap();
    add(&mut full, 0).unwrap();
    assert!(matches!(add(&mut full, 0), Err(EnqueueError::QueueFull(2))));

    let mut large = queue(settings());
    assert!(matches!(add(&mut large, 5), Err(EnqueueError::ArgsTooLarge(4))));
    add(&mut large, 4).unwrap();
    assert!(matches!(add(&mut large, 3), Err(EnqueueError::RequestArgsTooLarge(6))));
    add(&mut large, 2).unwrap();
}

#[test]
fn s11_a_name_has_a_limit_too() {
    let mut queue = queue(Settings::default());
    assert!(queue.accept(0, "n".repeat(MAX_NAME), vec![], options()).is_ok());
    assert!(matches!(queue.accept(0, "n".repeat(MAX_NAME + 1), vec![], options()), Err(EnqueueError::Other(_))));
}

#[test]
fn a_refused_task_takes_no_number() {
    let mut queue = queue(Settings { max_task_args: size("1"), ..Settings::default() });
    assert!(add(&mut queue, 2).is_err());
    assert_eq!(add(&mut queue, 1).unwrap(), 1);
}

#[test]
fn a_cancelled_task_keeps_its_place_and_is_cancelled_once() {
    let mut queue = queue(Settings::default());
    add(&mut queue, 8).unwrap();
    assert!(queue.cancel(1));
    assert!(!queue.cancel(1));
    assert!(!queue.cancel(2));
    let task = queue.next().unwrap();
    assert!(task.cancelled && task.args.is_empty());
    assert!(!queue.cancel(1), "it has ended");
}

#[test]
fn s15_what_is_bound_to_an_instance_is_orphaned_with_it() {
    let mut queue = queue(Settings::default());
    let bound = TaskOptions { instance_bound: true, ..options() };
    for options in [bound, options(), bound] {
        let task = queue.accept(0, "task".into(), vec![], options).unwrap();
        queue.push(task);
    }
    queue.orphan();
    let task = queue.accept(0, "of the next instance".into(), vec![], bound).unwrap();
    queue.push(task);
    let orphaned: Vec<_> = std::iter::from_fn(|| queue.next()).map(|task| task.orphaned).collect();
    assert_eq!(orphaned, [true, false, true, false]);
}

#[test]
fn a_closed_queue_accepts_nothing() {
    let mut closed = queue(Settings::default());
    assert!(closed.close_if_empty());
    assert!(matches!(add(&mut closed, 0), Err(EnqueueError::Closed)));
}

#[test]
fn a_queue_with_a_waiting_task_does_not_close() {
    let mut queue = queue(Settings::default());
    add(&mut queue, 0).unwrap();
    assert!(!queue.close_if_empty());
    add(&mut queue, 0).unwrap();
}

#[test]
fn what_the_host_cannot_keep_is_refused() {
    let durable = TaskOptions { durable: true, ..options() };
    let refused = |engine: bool, options: TaskOptions| {
        let accepted =
            Queue::new(&Settings::default(), engine, Backlog::default()).accept(0, "task".into(), vec![], options);
        matches!(accepted, Err(EnqueueError::Unsupported(_)))
    };
    assert!(refused(false, durable));
    assert!(!refused(true, durable));
    assert!(refused(true, TaskOptions { instance_bound: true, ..durable }));
    assert!(refused(true, TaskOptions { cancel_on_disconnect: true, ..durable }));
}

#[test]
fn durable_by_default_is_what_can_be_stored() {
    let mut queue = Queue::new(&Settings { durable: true, ..Settings::default() }, true, Backlog::default());
    let closure = TaskOptions { instance_bound: true, ..options() };
    let durable = [options(), closure].map(|options| {
        let task = queue.accept(0, "task".into(), vec![], options).unwrap();
        (task.durable, task.max_attempts)
    });
    assert_eq!(durable, [(true, 10), (false, 1)]);
}

#[test]
fn s11_a_generation_has_a_limit() {
    let settings = Settings { max_generations: 2, ..Settings::default() };
    let durable = TaskOptions { durable: true, ..options() };
    let accepted = |generation: Option<u32>, options: TaskOptions| {
        let queue = Queue::new(&settings, true, Backlog::default());
        let mut queue = match generation {
            Some(generation) => queue.resume(FailurePolicy::Stop, 1, generation),
            None => queue,
        };
        queue.accept(0, "task".into(), vec![], options).map(|_| queue.generation())
    };
    assert_eq!(accepted(None, durable).unwrap(), 0);
    assert_eq!(accepted(Some(0), durable).unwrap(), 1);
    assert_eq!(accepted(Some(1), durable).unwrap(), 2);
    assert!(matches!(accepted(Some(2), durable), Err(EnqueueError::TooManyGenerations(2))));
    assert!(accepted(Some(2), options()).is_ok(), "what stays in the process ends with its request");
    assert!(matches!(accepted(Some(u32::MAX), durable), Err(EnqueueError::TooManyGenerations(2))));
}

#[test]
fn what_is_stored_leaves_the_queue_and_what_is_not_stays() {
    let mut queue = Queue::new(&Settings::default(), true, Backlog::default());
    let durable = TaskOptions { durable: true, ..options() };
    let failure = TaskOptions { run_when: RunWhen::Failure, ..durable };
    for options in [durable, options(), failure, durable, durable] {
        let task = queue.accept(0, "task".into(), vec![], options).unwrap();
        assert!(!queue.stores_now(&task));
        queue.push(task);
    }
    queue.cancel(4);
    let to_store: Vec<_> = queue.end_of_handler(false).iter().map(|task| task.id).collect();
    assert_eq!(to_store, [1, 5]);
    let handed_over: Vec<_> = queue.hand_over(false).iter().map(|task| task.id).collect();
    assert_eq!(handed_over, [1, 5]);
    assert!(!queue.cancel(1), "it is somebody else's");
    let task = queue.accept(0, "task".into(), vec![], durable).unwrap();
    assert!(queue.stores_now(&task));
    let left: Vec<_> = std::iter::from_fn(|| queue.next()).map(|task| task.id).collect();
    assert_eq!(left, [2, 3, 4]);
}
