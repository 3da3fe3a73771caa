//! Compares the queue with a simple model. The model keeps a list of all tasks that the queue has ever accepted, and
//! computes each answer from the whole list.

use epilogue_manifest::values::{Size, Value as _};
use epilogue_rules::limits::MAX_NAME;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// An operation on a queue.
#[derive(Debug, Clone)]
enum Step {
    Add { args: usize, name: usize, instance_bound: bool, durable: bool },
    Cancel(TaskId),
    SetPolicy(FailurePolicy),
    Next,
    Orphan,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    let name = prop_oneof![9 => Just(4), 1 => Just(MAX_NAME), 1 => Just(MAX_NAME + 1)];
    let policy = prop_oneof![Just(FailurePolicy::Stop), Just(FailurePolicy::Continue)];
    let add = (0..8_usize, name, any::<bool>(), prop::bool::weighted(0.1));
    prop_oneof![
        8 => add.prop_map(|(args, name, instance_bound, durable)| Step::Add { args, name, instance_bound, durable }),
        3 => (0..12_u64).prop_map(Step::Cancel),
        1 => policy.prop_map(Step::SetPolicy),
        4 => Just(Step::Next),
        1 => Just(Step::Orphan),
        1 => Just(Step::Close),
    ]
}

/// The model of a queue, with all tasks that the queue has ever accepted, in order.
#[derive(Default)]
struct Model {
    tasks: Vec<Entry>,
    closed: bool,
    limits: (usize, usize, usize),
}

#[derive(Default)]
struct Entry {
    args: usize,
    instance_bound: bool,
    cancelled: bool,
    orphaned: bool,
    left: bool,
}

impl Model {
    /// Adds a task. If the model accepts the task, returns the task's number. If the model refuses the task, returns
    /// the beginning of the error's name.
    fn add(&mut self, args: usize, name: usize, instance_bound: bool, durable: bool) -> Result<u64, &'static str> {
        let (tasks, task_args, request_args) = self.limits;
        let reasons = [
            (self.closed, "Closed"),
            (durable, "Unsupported"),
            (name > MAX_NAME, "Other"),
            (self.tasks.len() == tasks, "QueueFull"),
            (args > task_args, "ArgsTooLarge"),
            (self.tasks.iter().map(|task| task.args).sum::<usize>() + args > request_args, "RequestArgsTooLarge"),
        ];
        if let Some((_, reason)) = reasons.into_iter().find(|(holds, _)| *holds) {
            return Err(reason);
        }
        self.tasks.push(Entry { args, instance_bound, ..Entry::default() });
        Ok(self.tasks.len() as u64)
    }

    fn waiting(&mut self) -> impl Iterator<Item = (u64, &mut Entry)> {
        (1..).zip(&mut self.tasks).filter(|(_, task)| !task.left)
    }
}

/// Returns the properties that the test compares when a task leaves the queue: the task's number, the size of the
/// arguments, whether the task is orphaned, and whether the task is cancelled.
fn seen(task: Task) -> (u64, usize, bool, bool) {
    (task.id, task.args.len(), task.orphaned, task.cancelled)
}

fn follows_the_model(limits: (usize, usize, usize), steps: Vec<Step>) -> Result<(), TestCaseError> {
    let size = |bytes: usize| Size::parse(&bytes.to_string()).unwrap();
    let mut queue = Queue::new(
        &Settings {
            max_tasks: u32::try_from(limits.0).unwrap(),
            max_task_args: size(limits.1),
            max_request_args: size(limits.2),
            ..Settings::default()
        },
        false,
        Backlog::default(),
    );
    let mut model = Model { limits, ..Model::default() };
    let next = |model: &mut Model| {
        model.waiting().next().map(|(id, task)| {
            task.left = true;
            (id, if task.cancelled { 0 } else { task.args }, task.orphaned, task.cancelled)
        })
    };
    for step in steps {
        match step {
            Step::Add { args, name, instance_bound, durable } => {
                let options = TaskOptions {
                    run_when: RunWhen::Always,
                    timeout: None,
                    max_attempts: None,
                    backoff: None,
                    cancel_on_disconnect: false,
                    instance_bound,
                    durable,
                };
                let added = queue.accept(0, "n".repeat(name), vec![0; args], options).map(|task| queue.push(task));
                match (added, model.add(args, name, instance_bound, durable)) {
                    (Ok(id), expected) => prop_assert_eq!(Ok(id), expected),
                    (Err(error), Ok(id)) => prop_assert!(false, "{} was refused: {:?}", id, error),
                    (Err(error), Err(expected)) => {
                        let error = format!("{error:?}");
                        let prefix = format!("EnqueueError::{expected}");
                        prop_assert!(error.starts_with(&prefix), "{} instead of {}", error, prefix);
                    }
                }
            }
            Step::Cancel(id) => {
                let found = model.waiting().find(|(own, task)| *own == id && !task.cancelled);
                let expected = found.map(|(_, task)| task.cancelled = true).is_some();
                prop_assert_eq!(queue.cancel(id), expected);
            }
            Step::SetPolicy(policy) => {
                queue.set_policy(policy);
                prop_assert_eq!(queue.policy(), policy);
            }
            Step::Next => prop_assert_eq!(queue.next().map(seen), next(&mut model)),
            Step::Orphan => {
                queue.orphan();
                model.waiting().for_each(|(_, task)| task.orphaned |= task.instance_bound);
            }
            Step::Close => {
                let empty = model.waiting().next().is_none();
                model.closed = empty;
                prop_assert_eq!(queue.close_if_empty(), empty);
            }
        }
    }
    // At the end, all remaining tasks leave the queue, and the request ends.
    while let Some(expected) = next(&mut model) {
        prop_assert_eq!(queue.next().map(seen), Some(expected));
    }
    prop_assert!(queue.close_if_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn s1_s3_s5_s11_a_queue_does_what_its_model_does(
        limits in (0..8_usize, 0..8_usize, 0..24_usize), steps in vec(step(), 0..64)
    ) {
        follows_the_model(limits, steps)?;
    }
}
