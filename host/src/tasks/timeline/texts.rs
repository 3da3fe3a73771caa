//! Keeps the short texts of a timeline in one allocation, because each further allocation would slow down each request.

use std::ops::Range;

/// Texts, one behind the other.
#[derive(Debug, Default, Clone)]
pub(super) struct Texts(String);

/// The place of one text in [`Texts`]. The default is an empty text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Text {
    start: u32,
    end: u32,
}

impl Texts {
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    /// Adds a text, and returns its place. If all texts together exceed 4 GiB, returns the place of an empty text.
    pub(super) fn keep(&mut self, text: &str) -> Text {
        let places = (u32::try_from(self.0.len()), u32::try_from(self.0.len() + text.len()));
        let (Ok(start), Ok(end)) = places else { return Text::default() };
        self.0.push_str(text);
        Text { start, end }
    }

    /// Adds `more` to the end of the text at `place`, and returns the new place of the text.
    pub(super) fn extend(&mut self, place: Text, more: &str) -> Text {
        if place.end as usize == self.0.len() {
            let Text { end, .. } = self.keep(more);
            return Text { end: end.max(place.end), ..place };
        }
        let text = [self.get(place), more].concat();
        self.keep(&text)
    }

    /// Returns the text at `place`, which must be a place in these texts.
    pub(super) fn get(&self, place: Text) -> &str {
        self.0.get(place.start as usize..place.end as usize).unwrap_or_default()
    }

    /// Adds all texts of `other`. The places of these texts stay relative to the first added text, so only
    /// [`part`](Self::part) can read them.
    pub(super) fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Returns a copy of the texts in `range`, in bytes.
    pub(super) fn part(&self, range: Range<usize>) -> Self {
        Self(self.0.get(range).unwrap_or_default().to_owned())
    }

    /// Returns the size of all texts, in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_grows_wherever_it_stands() {
        let mut texts = Texts::default();
        let one = texts.keep("one");
        let two = texts.keep("two");
        let two = texts.extend(two, " and a half");
        assert_eq!((texts.get(one), texts.get(two), texts.0.len()), ("one", "two and a half", 17));
        let one = texts.extend(one, " more");
        assert_eq!((texts.get(one), texts.get(two)), ("one more", "two and a half"));
    }
}
