//! Order: the tasks of one request run in the order of registration, whoever registered them (S1, S5).

use epilogue::testing::TestHost;

use crate::guests;

#[test]
fn s1_tasks_run_in_registration_order_one_at_a_time() {
    let host = TestHost::start(guests::TASKS);
    let exchange = host.get("/?run=ok,sync,ok,closure,sync");

    assert_eq!(exchange.text(), "1,2,3,4,5");
    let record = exchange.drained();
    let ids: Vec<_> = record.tasks.iter().map(|task| task.id).collect();
    assert_eq!(ids, [1, 2, 3, 4, 5]);
    assert_eq!(host.stdout(), "ok\nsync\nok\nclosure\nsync\n");
}
