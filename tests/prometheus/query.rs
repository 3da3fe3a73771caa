//! Reads queries of Prometheus: which metrics they select, and by which labels they group.

use std::iter::Peekable;
use std::str::Chars;

const GROUPING: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
const OPERATORS: [&str; 5] = ["and", "or", "unless", "offset", "bool"];

/// A query, or a line of `/metrics`, which is a selector too.
pub(super) struct Query {
    pub(super) text: String,
    pub(super) selectors: Vec<Selector>,
    /// The labels after `by`, `on` and the like.
    pub(super) groups: Vec<String>,
}

/// A part of a query that selects series, such as `up{job="epilogue"}`.
pub(super) struct Selector {
    pub(super) metric: String,
    /// A label, an operator and a quoted value.
    matchers: Vec<[String; 3]>,
}

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        let mut query = Self { text: text.to_owned(), selectors: Vec::new(), groups: Vec::new() };
        let mut reader = Reader(text.chars().peekable());
        while let Some(&letter) = reader.0.peek() {
            match letter {
                '"' => _ = reader.quoted(),
                // The length of a range.
                '[' => _ = reader.until(|letter| letter == ']'),
                _ if letter.is_ascii_digit() => _ = reader.word(),
                _ if is_of_word(letter) => query.read_word(&mut reader),
                _ => _ = reader.0.next(),
            }
        }
        query
    }

    fn read_word(&mut self, reader: &mut Reader<'_>) {
        let word = reader.word();
        if GROUPING.contains(&word.as_str()) {
            let labels = reader.until(|letter| letter == ')');
            let labels = labels.trim().trim_start_matches('(').split(',').map(str::trim);
            self.groups.extend(labels.filter(|label| !label.is_empty()).map(str::to_owned));
        } else if !OPERATORS.contains(&word.as_str()) && !reader.is_function() {
            self.selectors.push(Selector { metric: word, matchers: reader.matchers() });
        }
    }

    /// Whether the query itself makes this label.
    pub(super) fn makes(&self, label: &str) -> bool {
        self.text.contains("label_replace(") && self.text.contains(&format!("\"{label}\""))
    }
}

impl Selector {
    pub(super) fn labels(&self) -> impl Iterator<Item = &str> {
        self.matchers.iter().map(|[label, ..]| label.as_str())
    }

    /// The selector as a query. If it names several values, such as `state=~"failed|trapped"`, one query for each.
    pub(super) fn each_value(&self) -> Vec<String> {
        let mut texts = vec![String::new()];
        for [label, operator, value] in &self.matchers {
            let values: Vec<_> = value.trim_matches('"').split('|').collect();
            let add = |text: String| values.iter().map(move |value| format!("{text}{label}{operator}\"{value}\","));
            texts = texts.into_iter().flat_map(add).collect();
        }
        texts.into_iter().map(|matchers| format!("{}{{{matchers}}}", self.metric)).collect()
    }
}

struct Reader<'a>(Peekable<Chars<'a>>);

impl Reader<'_> {
    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(letter) = self.0.next_if(|letter| is_of_word(*letter)) {
            word.push(letter);
        }
        word
    }

    /// Reads up to a letter and over it. Returns what is before it.
    fn until(&mut self, is_end: impl Fn(char) -> bool) -> String {
        self.0.by_ref().take_while(|letter| !is_end(*letter)).collect()
    }

    fn space(&mut self) {
        while self.0.next_if(|letter| letter.is_whitespace()).is_some() {}
    }

    /// Reads a text in quotes, and returns it with its quotes.
    fn quoted(&mut self) -> String {
        self.0.next();
        format!("\"{}\"", self.until(|letter| letter == '"'))
    }

    /// Whether the word before is a function, or an aggregation such as `sum by (le) (…)`.
    fn is_function(&mut self) -> bool {
        self.space();
        let rest: String = self.0.clone().take_while(|letter| is_of_word(*letter)).collect();
        self.0.peek() == Some(&'(') || GROUPING[..2].contains(&rest.as_str())
    }

    /// Reads what is in the braces after a metric's name.
    fn matchers(&mut self) -> Vec<[String; 3]> {
        let mut matchers = Vec::new();
        if self.0.next_if_eq(&'{').is_none() {
            return matchers;
        }
        loop {
            while self.0.next_if(|letter| letter.is_whitespace() || *letter == ',').is_some() {}
            if self.0.next_if_eq(&'}').is_some() {
                return matchers;
            }
            let label = self.word();
            let mut operator = String::new();
            while let Some(letter) = self.0.next_if(|letter| "=!~".contains(*letter)) {
                operator.push(letter);
            }
            assert!(!label.is_empty() && self.0.peek() == Some(&'"'), "a label and a value should follow");
            matchers.push([label, operator, self.quoted()]);
        }
    }
}

fn is_of_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_' || letter == ':'
}

#[test]
fn a_query_names_its_metrics_and_labels() {
    let query = Query::parse(
        "histogram_quantile(0.99, sum by (le, name) (rate(wait_bucket{job=~\"$job\", state=~\"a|b,}\"}[5m]))) > 30\n\
         or up offset 10m unless on (job) max without(x) (delta(wait[1h]))",
    );
    let names: Vec<_> = query.selectors.iter().map(|selector| selector.metric.as_str()).collect();
    assert_eq!(names, ["wait_bucket", "up", "wait"]);
    assert_eq!(query.selectors[0].labels().collect::<Vec<_>>(), ["job", "state"]);
    assert_eq!(query.groups, ["le", "name", "job", "x"]);
    assert_eq!(
        query.selectors[0].each_value(),
        ["wait_bucket{job=~\"$job\",state=~\"a\",}", "wait_bucket{job=~\"$job\",state=~\"b,}\",}"]
    );
}
