//! `cargo bench --bench host` measures the parts of the host separately. Compare only figures of one run on one
//! machine.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on should fail")]

#[path = "parts/guests.rs"]
mod guests;

use std::hint::black_box;
use std::path::Path;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use epilogue::bench::{App, AppOptions, Bench, small_engine};
use epilogue::testing::{TestHost, compose};
use epilogue_manifest::Manifest;

/// The number of tasks in one request, and the number of calls that one measurement makes one after the other.
const TASKS: u32 = 100;
/// The size of a response's body in bytes.
const BODY: u64 = 16 << 20;

/// Measures the steps of a task: adding tasks to the queue, and running them in the drain. For comparison, also
/// measures the calls of the guest's task function with wasmtime alone.
fn tasks(criterion: &mut Criterion) {
    let engine = small_engine(None).unwrap();
    let bench = Bench::load(&engine, Path::new(guests::BENCH)).unwrap();
    let mut group = criterion.benchmark_group("100 tasks");
    group.throughput(Throughput::Elements(TASKS.into()));
    group.bench_function("enqueue", |bencher| bencher.iter(|| bench.enqueue(TASKS).unwrap()));
    group.bench_function("drain", |bencher| bencher.iter(|| bench.drain(TASKS).unwrap()));
    group.bench_function("bare call_concurrent", |bencher| bencher.iter(|| bench.call(TASKS).unwrap()));
    group.finish();
    let mut group = criterion.benchmark_group("instance");
    group.bench_function("cold", |bencher| bencher.iter(|| bench.instantiate().unwrap()));
    group.bench_function("warm, entered and left", |bencher| bencher.iter(|| bench.drain(0).unwrap()));
}

/// Measures whole requests. Each request has its own connection.
fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    for (name, reuse) in [("warm instance", "1000000"), ("cold instance", "1")] {
        let host = TestHost::component(guests::BENCH).setting("reuse", reuse).threads(1).start();
        group.bench_function(name, |bencher| bencher.iter(|| host.get("/?tasks=3").drained()));
    }
    let host = TestHost::component(guests::BENCH).threads(1).start();
    let path = format!("/?body={BODY}");
    group.sample_size(20).throughput(Throughput::Bytes(BODY));
    group.bench_function("body of 16 MiB", |bencher| {
        bencher.iter_batched(|| host.get(&path), |exchange| exchange.response().body().len(), BatchSize::PerIteration);
    });
}

/// Measures two steps before the first request: composing a guest, and loading an application. `compare/run` measures
/// the whole start of the host.
fn start(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("start");
    group.sample_size(20).measurement_time(Duration::from_secs(10));
    group.bench_function("compose", |bencher| {
        bencher.iter(|| black_box(compose(Path::new(guests::BENCH), &[]).unwrap().bytes.len()));
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("spin.toml");
    let component = format!("[component.bench]\nsource = {:?}\n", guests::BENCH);
    let trigger = "[[trigger.http]]\nroute = \"/...\"\ncomponent = \"bench\"\n";
    let application = "spin_manifest_version = 2\n[application]\nname = \"bench\"\n";
    std::fs::write(&file, [application, trigger, &component].concat()).unwrap();
    let engine = small_engine(None).unwrap();
    group.bench_function("load, compiled before", |bencher| {
        bencher.iter(|| {
            let manifest = Manifest::load(&file).unwrap().select(&[]).unwrap();
            App::load(&engine, &manifest, AppOptions::default()).unwrap()
        });
    });
}

criterion_group!(benches, tasks, requests, start);
criterion_main!(benches);
