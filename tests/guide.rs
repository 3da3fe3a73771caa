//! The guide's guests do what its pages say.

mod coming_from;
mod five_minutes;
mod how_to;
