//! Components for the release candidate of WASI 0.3, which Spin 4.0's SDKs and templates use.

use epilogue::testing::TestHost;

use crate::guests;
use crate::process::retry;
use crate::stock::host::StockHost;

#[test]
fn a_component_for_the_release_candidate_runs_natively() {
    let host = TestHost::start(guests::SPIN6);
    let exchange = host.get("/");
    assert_eq!(exchange.text(), "now");
    exchange.drained();
    assert_eq!(host.stdout(), "task: later\n");
}

#[test]
fn a_component_for_the_release_candidate_runs_composed() {
    let host = StockHost::start(guests::SPIN6);
    assert_eq!(host.get("/").body(), "now");
    retry(|| (host.stdout() == "task: later\n").then_some(()));
}
