//! `/` enqueues values that JSON easily changes, and the task prints them. `/refused` enqueues values that `add_task`
//! must refuse, and responds with the reasons.

use std::collections::BTreeMap;

use epilogue_sdk::{BackgroundTasks, EnqueueError, TaskId};
use serde::{Deserialize, Serialize};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let tasks = BackgroundTasks::current();
    if request.uri().path() == "/refused" {
        let refused = [
            tasks.add_task(take_floats, (vec![0.5, f64::NAN], vec![])),
            tasks.add_task(take_floats, (vec![], vec![f32::INFINITY])),
            tasks.add_task(take_nest, ((0..200).fold(Nest(vec![]), |inner, _| Nest(vec![inner])),)),
            tasks.add_task(take_option, (Some(None),)),
            tasks.add_task(take_skips, (Skips { items: vec![] },)),
            tasks.add_task(take_flat, (Flat { name: String::new(), keys: BTreeMap::from([(1, 2)]) },)),
        ];
        return Ok(refused.map(answer).join("\n"));
    }
    tasks
        .add_task(take_floats, (vec![1.577_777_777_777_000_1, -0.0, 5e-324, f64::MAX], vec![0.1, f32::MIN_POSITIVE]))?;
    tasks.add_task(take_wide, (i128::MIN, u128::MAX, u64::MAX, i64::MIN, '\u{10ffff}'))?;
    tasks.add_task(take_shape, (Shape::Circle { radius: 0.914_615_523_521_910_7, at: Some(1.0) },))?;
    tasks.add_task(take_shape, (Shape::None,))?;
    Ok(String::new())
}

fn answer(added: Result<TaskId, EnqueueError>) -> String {
    match added {
        Ok(id) => format!("accepted as {id}"),
        Err(EnqueueError::BadArgs { task, reason }) => format!("{task}: {reason}"),
        Err(other) => other.to_string(),
    }
}

#[epilogue_sdk::task]
fn take_floats(doubles: Vec<f64>, singles: Vec<f32>) {
    let (doubles, singles) = (doubles.iter().map(|float| float.to_bits()), singles.iter().map(|float| float.to_bits()));
    println!("{:x?} {:x?}", doubles.collect::<Vec<_>>(), singles.collect::<Vec<_>>());
}

#[epilogue_sdk::task]
fn take_wide(signed: i128, unsigned: u128, most: u64, least: i64, letter: char) {
    println!("{signed} {unsigned} {most} {least} {letter:?}");
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "shape")]
enum Shape {
    None,
    Circle { radius: f64, at: Option<f32> },
}

#[epilogue_sdk::task]
fn take_shape(shape: Shape) {
    println!("{shape:?}");
}

#[derive(Serialize, Deserialize)]
struct Nest(Vec<Self>);

#[epilogue_sdk::task]
fn take_nest(_nest: Nest) {}

#[epilogue_sdk::task]
fn take_option(_option: Option<Option<u8>>) {}

#[derive(Serialize, Deserialize)]
struct Skips {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    items: Vec<u8>,
}

#[epilogue_sdk::task]
fn take_skips(_skips: Skips) {}

#[derive(Serialize, Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    keys: BTreeMap<u32, u8>,
}

#[epilogue_sdk::task]
fn take_flat(_flat: Flat) {}
