//! The tests of the core again, with each engine as the component's default: the suite runs itself, and a variable moves all tasks
//! to the engine (see `epilogue::testing`).

use std::process::{Command, Stdio};

use super::fixture::Fixture;

/// The files that are about requests and their tasks.
const MODULES: &[&str] = &[
    "admission",
    "clients",
    "closure",
    "disconnect",
    "failure",
    "hostile",
    "identity",
    "kinds",
    "middleware",
    "order",
    "panics",
    "parity",
    "scope",
    "sent",
    "shutdown",
    "spawned",
    "states",
];

/// What is promised of tasks in the process and otherwise of durable ones: why, and the tests that show it.
const OTHERWISE: &[(&str, &[&str])] = &[
    (
        "A worker may start before the response is out, and is told `delivered` (S2, S8).",
        &[
            "clients::pipelined::s2_pipelined_requests_are_answered_in_order_and_each_ones_tasks_come_after_its_own_response",
            "disconnect::s7_a_client_that_leaves_amid_the_body_cancels_no_task",
            "hostile::body::s10_a_body_is_told_before_it_is_stopped",
            "sent::s2_a_body_that_ends_with_an_error_lets_the_tasks_run_and_says_so",
            "sent::s2_a_task_waits_for_a_slow_http1_client",
            "sent::s2_a_task_waits_for_a_slow_http2_client",
            "sent::s8_tasks_start_after_the_streams_end",
        ],
    ),
    (
        "The request's scope is torn down behind its response, and its tasks have one of their own, in another instance (S9).",
        &[
            "disconnect::s7_a_client_that_leaves_before_the_response_cancels_neither_handler_nor_tasks",
            "failure::s4_what_a_teardown_adds_runs_after_a_failed_task_too",
            "failure::s6_after_a_handler_s_error_only_those_run_that_asked_to",
            "middleware::a_middleware_may_answer_by_itself",
            "middleware::s14_a_trap_in_the_application_leaves_the_middlewares_tasks_to_a_fresh_instance_of_both",
            "middleware::s5_tasks_of_a_middleware_and_of_the_application_are_one_queue_and_each_runs_its_own",
            "middleware::s9_middleware_nests_and_is_torn_down_from_within",
            "middleware::the_first_middleware_is_the_outermost_as_in_spin",
            "parity::contexts::test_background_tasks",
            "parity::tutorial::test_background_tasks_tutorial002",
            "scope::s9_an_instance_serves_no_other_request_before_its_teardown",
            "scope::s9_the_teardown_comes_last",
            "scope::s9_what_was_registered_last_is_torn_down_first_and_after_the_tasks",
            "shutdown::s10_a_task_is_told_that_its_deadline_is_near",
            "spawned::s18_spawned_work_ends_before_the_teardown",
        ],
    ),
    (
        "Closures stay in the process: no order holds between them and durable tasks, and the failure of one is nothing to the other \
         (S15).",
        &[
            "closure::s15_a_closure_lives_in_the_instance_of_the_task_that_made_it",
            "closure::s15_closures_keep_their_place_and_what_they_captured",
            "failure::s14_after_a_trap_the_rest_is_skipped_or_runs_in_a_fresh_instance",
            "failure::s4_a_failure_stops_the_rest_unless_told_otherwise",
            "order::s1_tasks_run_in_registration_order",
            "order::s5_there_is_one_queue_whoever_adds",
            "states::s3_abandoned_with_the_instance_that_held_its_closure",
            "states::s3_skipped",
        ],
    ),
    (
        "What a running task adds is a batch of its own, stored before it is accepted (S5).",
        &[
            "order::a_task_is_taken_back_only_before_it_starts",
            "order::s11_a_task_that_adds_itself_for_ever_meets_the_limit",
            "order::s5_what_running_tasks_add_comes_last",
        ],
    ),
    (
        "What does not end here is given back and runs elsewhere: it is not abandoned (S13). A worker's tasks take no place among \
         the host's drains (S12).",
        &[
            "admission::s12_a_draining_request_leaves_its_place_to_the_next",
            "admission::s12_a_request_that_was_let_in_goes_on_to_its_tasks_though_drains_are_too_many",
            "kinds::s17_a_task_that_computes_blocks_no_other_request",
            "kinds::s17_a_task_that_waits_without_yielding_blocks_no_other_request",
            "panics::s3_what_runs_while_the_host_panics_is_abandoned",
            "panics::s3_what_waits_while_the_host_panics_is_abandoned",
            "shutdown::s13_a_running_handler_ends_its_request_before_the_host_does",
            "shutdown::s13_a_running_task_and_those_after_it_end_before_the_host_does",
            "shutdown::s13_a_stop_cuts_the_grace_short",
            "shutdown::s13_a_task_is_told_that_the_host_stops",
            "shutdown::s13_a_task_that_was_to_be_tried_again_is_abandoned",
            "shutdown::s13_what_a_client_did_not_read_in_time_was_not_sent_and_its_tasks_do_not_run",
            "shutdown::s13_what_does_not_end_within_the_grace_is_abandoned",
            "states::s3_abandoned_when_the_time_for_all_tasks_is_used_up",
        ],
    ),
    (
        "What is behind a task that failed for good waits in the dead letter with it, and is not skipped (S3, S4).",
        &[
            "failure::s4_one_request_s_policy_is_not_the_next_one_s",
            "failure::s4_the_operator_sets_what_holds_by_default",
            "middleware::s4_a_failing_task_of_a_middleware_counts_as_any_other",
            "parity::starlette::test_multi_tasks_failure_avoids_next_execution",
        ],
    ),
    (
        "A worker's spans are its own (S16).",
        &["identity::s16_a_tasks_span_is_linked_to_its_requests_and_not_its_child"],
    ),
    ("There is an engine.", &["order::s11_a_host_without_a_store_refuses_durable_tasks"]),
];

/// NATS takes a batch that fits into its `max_payload`, which is 1 MiB, and so are the largest arguments.
const OTHERWISE_ON_NATS: &str = "order::s11_the_arguments_of_one_task_are_limited";

super::on_each_engine! {
    the_core_s_tests_pass_with_the_engine_as_default,
}

fn the_core_s_tests_pass_with_the_engine_as_default(fixture: &mut Fixture) {
    let listed = suite().arg("--list").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let names = listed.lines().filter_map(|line| line.strip_suffix(": test"));
    let of_core = |name: &&str| name.split_once("::").is_some_and(|(module, _)| MODULES.contains(&module));
    let mut names: Vec<_> = names.filter(of_core).collect();
    let on_this = fixture.url.starts_with("nats:").then_some(&OTHERWISE_ON_NATS);
    for otherwise in OTHERWISE.iter().flat_map(|(_, names)| *names).chain(on_this) {
        let place = names.iter().position(|name| name == otherwise);
        names.remove(place.unwrap_or_else(|| panic!("there is no test {otherwise}")));
    }
    // They wait more than they work.
    let mut again = suite();
    again.args(["--exact", "--test-threads", "8"]).args(&names).env("EPILOGUE_TEST_ENGINE", fixture.url_apart());
    let output = again.output().unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let passed = format!("test result: ok. {} passed; 0 failed", names.len());
    assert!(String::from_utf8_lossy(&output.stdout).contains(&passed), "{passed}");
}

fn suite() -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.stdin(Stdio::null());
    command
}
