use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

/// Returns true if the arguments arrive unchanged, in a debug build and in a release build. If a build refuses the
/// arguments, returns an error.
fn arrives<T: Serialize + DeserializeOwned + PartialEq>(args: T) -> Result<bool, String> {
    let json = write_checked(&args, false)?;
    write_checked(&args, true)?;
    Ok(read::<T>(&json).is_ok_and(|arrived| arrived == args))
}

/// Returns the reason why a debug build refuses the arguments. Panics unless a release build does what `late` says. If
/// `late` is true, the release build must accept the arguments. If `late` is false, the release build must refuse the
/// arguments for the same reason.
fn refused<T: Serialize + DeserializeOwned + Debug>(args: T, late: bool) -> String {
    let refusal = write_checked(&args, true).expect_err("it should be refused");
    let in_release = write_checked(&args, false).err();
    assert_eq!(in_release, (!late).then(|| refusal.clone()), "{args:?}");
    refusal
}

const DIFFERS: &str = "the task would get another value";
const UNREADABLE: &str = "the task could not read them";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Leaf {
    float: f64,
    single: f32,
    number: u64,
    letter: char,
    maybe: Option<i64>,
}

/// An enum with each form of variant that serde knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum External {
    Unit,
    New(f64),
    Tuple(f32, i64, Vec<Self>),
    Struct { leaf: Leaf, more: BTreeMap<i32, Internal> },
    Flat(Flat),
    Free(Untagged),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Internal {
    Unit,
    New(Leaf),
    Struct { float: f64, then: Option<Box<Adjacent>> },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "content")]
enum Adjacent {
    New(f64),
    Tuple(f32, char),
    Struct { float: f64 },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Self>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Flat {
    name: String,
    #[serde(flatten)]
    leaf: Leaf,
    #[serde(flatten)]
    rest: BTreeMap<String, f64>,
}

/// Generates any finite number, with zeros and very small numbers more often than by chance.
fn float() -> impl Strategy<Value = f64> + Clone {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), proptest::num::f64::ANY, Just(-0.0), -1e17..1e17]
        .prop_filter("JSON has it", |float| float.is_finite())
}

fn single() -> impl Strategy<Value = f32> + Clone {
    any::<u32>().prop_map(f32::from_bits).prop_filter("JSON has it", |float| float.is_finite())
}

fn leaf() -> impl Strategy<Value = Leaf> {
    (float(), single(), any::<u64>(), any::<char>(), any::<Option<i64>>())
        .prop_map(|(float, single, number, letter, maybe)| Leaf { float, single, number, letter, maybe })
}

fn untagged() -> impl Strategy<Value = Untagged> {
    prop_oneof![
        any::<i64>().prop_map(Untagged::Integer),
        float().prop_map(Untagged::Float),
        any::<String>().prop_map(Untagged::Text)
    ]
    .prop_recursive(4, 16, 4, |inner| vec(inner, 0..4).prop_map(Untagged::List))
}

fn adjacent() -> impl Strategy<Value = Adjacent> {
    prop_oneof![
        float().prop_map(Adjacent::New),
        (single(), any::<char>()).prop_map(|(single, letter)| Adjacent::Tuple(single, letter)),
        float().prop_map(|float| Adjacent::Struct { float })
    ]
}

fn internal() -> impl Strategy<Value = Internal> {
    let then = prop::option::of(adjacent().prop_map(Box::new));
    prop_oneof![
        Just(Internal::Unit),
        leaf().prop_map(Internal::New),
        (float(), then).prop_map(|(float, then)| Internal::Struct { float, then })
    ]
}

fn external() -> impl Strategy<Value = External> {
    let rest = btree_map("key [a-z\"\\\\\n]*", float(), 0..4);
    let more = btree_map(any::<i32>(), internal(), 0..4);
    prop_oneof![
        Just(External::Unit),
        float().prop_map(External::New),
        untagged().prop_map(External::Free),
        (leaf(), more).prop_map(|(leaf, more)| External::Struct { leaf, more }),
        (any::<String>(), leaf(), rest).prop_map(|(name, leaf, rest)| External::Flat(Flat { name, leaf, rest })),
    ]
    .prop_recursive(4, 16, 4, |inner| {
        (single(), any::<i64>(), vec(inner, 0..4)).prop_map(|(single, long, list)| External::Tuple(single, long, list))
    })
}

/// Generates any value that serde_json's `Value` can hold.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        float().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::Null)
    ]
    .prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4).prop_map(|fields| Value::Object(fields.into_iter().collect()))
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_number_arrives(
        float in float(), single in single(), signed: i64, unsigned: u64, small: i8, wide: i128, wider: u128,
        letter: char, text: String, truth: bool
    ) {
        let same_bits = |json: &[u8]| {
            let (a, b): (f64, f32) = read(json).unwrap();
            (a.to_bits(), b.to_bits()) == (float.to_bits(), single.to_bits())
        };
        prop_assert!(same_bits(&write(&(float, single)).unwrap()), "{float:e} {single:e}");
        let args = (signed, unsigned, small, wide, wider, letter, text, truth);
        prop_assert_eq!(arrives(args), Ok(true));
    }

    #[test]
    fn every_nested_value_arrives(value in external(), short in untagged()) {
        prop_assert_eq!(arrives((value, short)), Ok(true));
    }

    #[test]
    fn every_json_value_arrives(value in value()) {
        prop_assert_eq!(arrives((value,)), Ok(true));
    }

    #[test]
    fn every_key_arrives(
        wide in btree_map(any::<i128>(), any::<bool>(), 0..3), letters in btree_map(any::<char>(), any::<u8>(), 0..3),
        bytes in prop::collection::hash_map(any::<u8>(), float(), 0..9),
        set in prop::collection::hash_set(any::<u64>(), 0..9)
    ) {
        let truth = BTreeMap::from([(true, 1), (false, 2)]);
        prop_assert_eq!(arrives((wide, letters, bytes, set, truth)), Ok(true));
    }

    /// serde's buffer cannot hold a number of 128 bits. If `add_task` did not refuse the number, the task would get a
    /// float or no value.
    #[test]
    fn wide_numbers_in_an_untagged_enum_are_refused(wide: i128) {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        #[serde(untagged)]
        enum Wide { Integer(i128), Float(f64) }
        let refusal = refused((Wide::Integer(wide), Wide::Float(0.5)), false);
        prop_assert!(refusal.starts_with(DIFFERS) || refusal.starts_with(UNREADABLE), "{}", refusal);
    }
}

#[test]
fn numbers_at_the_edges_arrive() {
    for float in [1.577_777_777_777_000_1, 0.914_615_523_521_910_7, f64::MIN_POSITIVE, 5e-324, f64::MAX, 0.1, 1e16] {
        for float in [float, -float] {
            let json = write(&(float,)).unwrap();
            assert_eq!(read::<(f64,)>(&json).unwrap().0.to_bits(), float.to_bits(), "{float:e}");
        }
    }
    // serde_json writes this `f32` with an exponent, but the same `f64` without an exponent.
    let leaf = Leaf { float: 1.5e14, single: 1.5e14, number: 0, letter: 'a', maybe: None };
    assert_eq!(arrives((Internal::New(leaf),)), Ok(true));
    assert_eq!(write(&(-0.0,)).unwrap(), b"[-0.0]");
    assert_eq!(arrives((u128::MAX, i128::MIN, u64::MAX, i64::MIN)), Ok(true));
}

#[test]
fn a_float_that_is_no_number_is_refused() {
    assert_eq!(refused((f64::NAN,), false), "JSON has no number for NaN");
    assert_eq!(refused((vec![f32::INFINITY],), false), "JSON has no number for inf");
    let leaf = Leaf { float: f64::NEG_INFINITY, single: 0.0, number: 0, letter: 'a', maybe: None };
    assert_eq!(refused((Internal::New(leaf),), false), "JSON has no number for -inf");
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nest(Vec<Self>);

#[test]
fn nesting_is_refused_where_it_cannot_be_read() {
    let nest = |depth: usize| (1..depth).fold(Nest(vec![]), |inner, _| Nest(vec![inner]));
    // The arguments are a list, which adds one level to the depth.
    assert_eq!(arrives((nest(126),)), Ok(true));
    for depth in [127, 1000] {
        assert_eq!(refused((nest(depth),), false), "they are nested more than 127 deep");
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Deep {
        End,
        New(Box<Self>),
        Struct { then: Box<Self> },
    }
    let deep = |depth| (0..depth).fold(Deep::End, |then, _| Deep::New(Box::new(then)));
    assert_eq!(arrives((deep(126),)), Ok(true));
    assert_eq!(refused((deep(127),), false), "they are nested more than 127 deep");
    let deep = |depth| (0..depth).fold(Deep::End, |then, _| Deep::Struct { then: Box::new(then) });
    assert_eq!(arrives((deep(63),)), Ok(true));
    assert_eq!(refused((deep(64),), false), "they are nested more than 127 deep");
}

/// Reads a field that is present, and returns `Some`. For `null`, returns `Some(None)`. Many applications use such a
/// function to distinguish `null` from a missing field.
fn given<'de, D: serde::Deserializer<'de>>(reader: D) -> Result<Option<Option<u8>>, D::Error> {
    Deserialize::deserialize(reader).map(Some)
}

#[test]
fn some_of_nothing_is_refused_where_it_would_become_none() {
    let refusal = refused((Some(None::<u8>),), false);
    assert!(refusal.starts_with(DIFFERS), "{refusal}");
    assert!(refused((Some(()),), false).starts_with(DIFFERS));
    assert!(refused((Some(Value::Null),), false).starts_with(DIFFERS));
    assert_eq!(arrives((Some(Some(1)), None::<Option<u8>>, Some(vec![None::<u8>]))), Ok(true));

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Patch {
        #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
        age: Option<Option<u8>>,
    }
    for age in [None, Some(None), Some(Some(1))] {
        assert_eq!(arrives((Patch { age },)), Ok(true));
    }
}

#[test]
fn types_that_cannot_be_read_back_are_refused() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Skips {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        items: Vec<u8>,
    }
    let refusal = refused((Skips { items: vec![] },), false);
    assert!(refusal.starts_with(UNREADABLE) && refusal.contains("missing field `items`"), "{refusal}");
    assert_eq!(arrives((Skips { items: vec![1] },)), Ok(true));

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Keys {
        #[serde(flatten)]
        keys: BTreeMap<u32, u8>,
    }
    assert!(refused((Keys { keys: BTreeMap::from([(1, 2)]) },), false).starts_with(UNREADABLE));

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct FlatSkips {
        #[serde(flatten)]
        skips: Skips,
    }
    assert!(refused((FlatSkips { skips: Skips { items: vec![] } },), false).starts_with(UNREADABLE));

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type")]
    enum Tagged {
        Wide { number: u128 },
        Single { float: f32 },
    }
    assert!(refused((Tagged::Wide { number: u128::MAX },), false).starts_with(UNREADABLE));
    assert!(refused((Tagged::Single { float: f32::from_bits(0x15ae_43fd) },), false).starts_with(DIFFERS));
    assert_eq!(arrives((f32::from_bits(0x15ae_43fd),)), Ok(true));
}

#[test]
fn a_debug_build_refuses_all_that_arrives_otherwise() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Renamed {
        #[serde(rename(serialize = "other"))]
        own: u8,
    }
    assert!(refused((Renamed { own: 1 },), true).starts_with(UNREADABLE));

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(untagged)]
    enum First {
        Short { a: u8 },
        Long { a: u8, b: u8 },
    }
    assert!(refused((First::Long { a: 1, b: 2 },), true).starts_with(DIFFERS));
    assert!(write(&(First::Short { a: 1 },)).is_ok());
}

#[test]
fn the_order_of_a_hash_map_is_no_difference() {
    let (map, set): (HashMap<_, _>, HashSet<_>) = (0..100).map(|n| ((n.to_string(), n), n)).unzip();
    assert_eq!(arrives((map, set)), Ok(true));
}

/// If serde_json has the feature `arbitrary_precision`, serde_json's own type for numbers keeps all digits.
#[test]
fn numbers_of_serde_json_s_own_arrive_as_they_are() {
    assert_eq!(AS_TEXT, serde_json::from_str::<Value>("1e400").is_ok());
    for text in ["1.10", "1e2", "123456789012345678901234567890", "0.10000000000000000000000000000000001", "-0"] {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(arrives((value.clone(), json!({ "in": [value] }))), Ok(true), "{text}");
    }
}
