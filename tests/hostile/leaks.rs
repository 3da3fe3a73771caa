//! A guest that leaks handles: the host drops its instance before there are many.

use epilogue::testing::TestHost;

use crate::guests;

#[test]
fn s9_an_instance_that_leaks_is_retired() {
    let host = TestHost::component(guests::EXCESS).threads(1).start();
    for _ in 0..10_000 {
        let exchange = host.get("/leak");
        let served = exchange.text();
        let record = exchange.drained();
        match served {
            "1" => assert!(record.leaked > 0),
            // By now the host is sure: its first request may have opened something for good.
            "2" => assert_eq!(record.leaked, 1),
            _ => panic!("the instance should have been retired"),
        }
    }
    let served: Vec<_> = (0..1_000).map(|_| host.get("/").text().to_owned()).collect();
    assert_ne!(served[999], "1", "one that does not leak is kept");
}
