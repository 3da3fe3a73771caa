//! The guide's guests do what its pages say.

mod how_to;
