//! Walks over all parts of a value, as serde does when it writes the value. The walk finds parts of the value that JSON
//! cannot express, and parts that may change when serde reads the value back.

use std::fmt::{self, Display};

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// The largest depth of nested lists and objects. If lists and objects are nested 128 deep, serde_json refuses to read
/// them.
const MAX_DEPTH: u32 = 127;
/// The prefix of serde_json's internal names for structs that represent a piece of JSON.
const JSON: &str = "$serde_json::private::";
/// The bits of the `f32` 7.038531e-26. Within `flatten`, within an untagged enum, and within an internally tagged enum,
/// serde reads a float's text as `f64`, and then rounds the `f64` to `f32`. These two roundings change the `f32`
/// 7.038531e-26. A test of all `f32` numbers has shown that these two roundings change no other `f32`.
const ROUNDED_TWICE: u32 = 0x15ae_43fd;

/// The state of the walk over a value's parts, and what the walk has found.
pub(crate) struct Look {
    depth: u32,
    /// True if the next part of the value is directly within `Some`.
    in_some: bool,
    /// True if the next part of the value is a map's key.
    is_key: bool,
    /// True if the whole value may change when serde reads the value back.
    doubtful: bool,
    /// The sum of the hashes of the value's parts. The order of the parts is random in a `HashMap`, but a sum does not
    /// depend on the order. If the caller does not need the sum, the value is `None`.
    sum: Option<u64>,
}

impl Look {
    /// Walks over a value before `add_task` writes the value. If JSON cannot hold the value, the error says why.
    pub(crate) fn at(value: &impl Serialize) -> Result<Self, String> {
        Self::of(value, None)
    }

    /// Returns true if the caller should read the value back from the JSON, and compare it with the original value. The
    /// result is true if the value contains one of these parts, which may change in JSON:
    ///
    /// - an empty value in `Some`, such as `Some(None)`: serde reads this part as `None`;
    /// - a field that `skip_serializing_if` has left out: the type's `Deserialize` may require this field;
    /// - a number of 128 bits, a map's key that is not a string, or the `f32` 7.038531e-26: serde may read these parts
    ///   wrongly within `flatten`, within an untagged enum, or within an internally tagged enum;
    /// - a struct with a field marked `flatten`: serde writes this struct as a map without a length.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.doubtful
    }

    /// Returns a hash of the whole value. Two equal values have the same hash.
    pub(crate) fn sum(value: &impl Serialize) -> Result<u64, String> {
        Ok(Self::of(value, Some(0))?.sum.unwrap_or_default())
    }

    fn of(value: &impl Serialize, sum: Option<u64>) -> Result<Self, String> {
        let mut look = Self { depth: 0, in_some: false, is_key: false, doubtful: false, sum };
        value.serialize(&mut look).map_err(|Refused(why)| why)?;
        Ok(look)
    }

    /// Adds the hash of a part of the value to the sum.
    fn add(&mut self, kind: u8, bytes: &[u8]) {
        let Some(sum) = &mut self.sum else { return };
        // The simple hash function FNV-1a is enough, because an attacker gains nothing from two values with the same
        // hash.
        let mut hash = 0xcbf2_9ce4_8422_2325 ^ u64::from(self.depth);
        for byte in [kind].iter().chain(bytes) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        *sum = sum.wrapping_add(hash);
    }

    fn number(&mut self, kind: u8, bytes: &[u8]) {
        self.doubtful |= self.is_key;
        self.add(kind, bytes);
    }

    fn float(&mut self, kind: u8, value: f64, bytes: &[u8]) -> Result<(), Refused> {
        if !value.is_finite() {
            return Err(Refused(format!("JSON has no number for {value}")));
        }
        self.number(kind, bytes);
        Ok(())
    }

    fn nothing(&mut self) {
        self.doubtful |= self.in_some;
        self.add(b'0', &[]);
    }

    /// Enters `levels` nested lists or objects.
    fn enter(&mut self, levels: u32) -> Result<Within<'_>, Refused> {
        self.depth += levels;
        if self.depth > MAX_DEPTH {
            return Err(Refused(format!("they are nested more than {MAX_DEPTH} deep")));
        }
        (self.in_some, self.is_key) = (false, false);
        self.add(b'(', &[]);
        Ok(Within { look: self, levels })
    }

    fn variant(&mut self, variant: &'static str) {
        self.add(b'v', variant.as_bytes());
    }
}

/// The reason why JSON cannot hold a value.
#[derive(Debug)]
pub(crate) struct Refused(String);

impl Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl Error for Refused {
    fn custom<T: Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

macro_rules! numbers {
    ($($method:ident($type:ty) $kind:literal,)*) => {$(
        fn $method(self, value: $type) -> Result<(), Refused> {
            self.number($kind, &value.to_le_bytes());
            Ok(())
        }
    )*};
}

impl<'a> Serializer for &'a mut Look {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Within<'a>;
    type SerializeTuple = Within<'a>;
    type SerializeTupleStruct = Within<'a>;
    type SerializeTupleVariant = Within<'a>;
    type SerializeMap = Within<'a>;
    type SerializeStruct = Within<'a>;
    type SerializeStructVariant = Within<'a>;

    numbers! {
        serialize_i8(i8) b'a', serialize_i16(i16) b'b', serialize_i32(i32) b'c', serialize_i64(i64) b'd',
        serialize_u8(u8) b'e', serialize_u16(u16) b'g', serialize_u32(u32) b'h', serialize_u64(u64) b'i',
    }

    fn serialize_i128(self, value: i128) -> Result<(), Refused> {
        self.doubtful = true;
        self.number(b'j', &value.to_le_bytes());
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Refused> {
        self.doubtful = true;
        self.number(b'k', &value.to_le_bytes());
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Refused> {
        self.doubtful |= value.abs().to_bits() == ROUNDED_TWICE;
        self.float(b'l', value.into(), &value.to_le_bytes())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Refused> {
        self.float(b'm', value, &value.to_le_bytes())
    }

    fn serialize_bool(self, value: bool) -> Result<(), Refused> {
        self.number(b'n', &[value.into()]);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Refused> {
        self.add(b'o', &u32::from(value).to_le_bytes());
        Ok(())
    }

    fn serialize_str(self, value: &str) -> Result<(), Refused> {
        self.add(b's', value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Refused> {
        self.enter(1)?.look.add(b's', value);
        self.depth -= 1;
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Refused> {
        self.nothing();
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refused> {
        self.add(b'?', &[]);
        self.in_some = true;
        value.serialize(&mut *self)?;
        self.in_some = false;
        Ok(())
    }

    fn serialize_unit(self) -> Result<(), Refused> {
        self.nothing();
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Refused> {
        self.nothing();
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Refused> {
        self.variant(variant);
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Refused> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Refused> {
        self.variant(variant);
        self.enter(1)?.value(value)?;
        self.depth -= 1;
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Within<'a>, Refused> {
        self.enter(1)
    }

    fn serialize_tuple(self, _: usize) -> Result<Within<'a>, Refused> {
        self.enter(1)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Within<'a>, Refused> {
        self.enter(1)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Within<'a>, Refused> {
        self.variant(variant);
        self.enter(2)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Within<'a>, Refused> {
        self.doubtful |= length.is_none();
        self.enter(1)
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Within<'a>, Refused> {
        self.enter(u32::from(!name.starts_with(JSON)))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Within<'a>, Refused> {
        self.variant(variant);
        self.enter(2)
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Refused> {
        if self.sum.is_some() {
            self.add(b's', value.to_string().as_bytes());
        }
        Ok(())
    }
}

/// The list or the object whose parts the walk visits now.
pub(crate) struct Within<'a> {
    look: &'a mut Look,
    levels: u32,
}

impl Within<'_> {
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        value.serialize(&mut *self.look)
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Refused> {
        self.look.add(b'f', name.as_bytes());
        self.value(value)
    }

    fn leave(self) -> Result<(), Refused> {
        self.look.depth -= self.levels;
        Ok(())
    }
}

macro_rules! within {
    ($($trait:ident: $method:ident($($name:ident)?) by $by:ident $(, $skip:ident)?;)*) => {$(
        impl $trait for Within<'_> {
            type Ok = ();
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<(), Refused> {
                self.$by($($name,)? value)
            }

            $(fn $skip(&mut self, _: &'static str) -> Result<(), Refused> {
                self.look.doubtful = true;
                Ok(())
            })?

            fn end(self) -> Result<(), Refused> {
                self.leave()
            }
        }
    )*};
}

within! {
    SerializeSeq: serialize_element() by value;
    SerializeTuple: serialize_element() by value;
    SerializeTupleStruct: serialize_field() by value;
    SerializeTupleVariant: serialize_field() by value;
    SerializeStruct: serialize_field(name) by field, skip_field;
    SerializeStructVariant: serialize_field(name) by field, skip_field;
}

impl SerializeMap for Within<'_> {
    type Ok = ();
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.look.is_key = true;
        self.value(key)?;
        self.look.is_key = false;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.value(value)
    }

    fn end(self) -> Result<(), Refused> {
        self.leave()
    }
}
