//! What a fault run did, and the memory that it took: a table, and a chart.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use epilogue::testing::RequestRecord;

use super::clients::{Seen, Sent};

/// The seconds after which the process has made all of its pools, so that its memory should not grow any more.
const WARM_UP: u64 = 300;

/// Counts of what was sent, seen, recorded and broken on purpose.
#[derive(Default)]
pub(super) struct Figures {
    rounds: usize,
    stopped: usize,
    sent: usize,
    records: usize,
    states: BTreeMap<String, u64>,
    clients: BTreeMap<&'static str, u64>,
    seen: BTreeMap<String, u64>,
    faults: BTreeMap<String, u64>,
    progress: Arc<AtomicUsize>,
}

impl Figures {
    /// The count of requests that have been answered so far, which clients add to.
    pub(super) fn progress(&self) -> Arc<AtomicUsize> {
        self.progress.clone()
    }

    pub(super) fn add(&mut self, sent: &[Sent], records: &[RequestRecord], stopped: bool) {
        self.rounds += 1;
        self.stopped += usize::from(stopped);
        self.sent += sent.len();
        self.records += records.len();
        for task in records.iter().flat_map(|record| &record.tasks) {
            *self.states.entry(task.state.to_string()).or_default() += 1;
        }
        for sent in sent {
            *self.clients.entry(sent.client).or_default() += 1;
            let seen = match &sent.seen {
                Seen::Left => "left".to_owned(),
                Seen::Nothing(_) => "none, the host stopped".to_owned(),
                Seen::Broken(_) => "broken".to_owned(),
                Seen::Whole(answer) => format!("whole {}", answer.status.as_u16()),
            };
            *self.seen.entry(seen).or_default() += 1;
            for fault in sent.script.faults() {
                *self.faults.entry(fault).or_default() += 1;
            }
        }
    }

    pub(super) fn requests(&self) -> usize {
        self.records
    }

    pub(super) fn tasks(&self) -> u64 {
        self.states.values().sum()
    }

    pub(super) fn states(&self) -> BTreeMap<String, u64> {
        self.states.clone()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |counts: &BTreeMap<_, u64>| list(counts);
        writeln!(f, "rounds: {}, of which {} were stopped amid their work", self.rounds, self.stopped)?;
        writeln!(f, "requests: {} sent, {} served", self.sent, self.records)?;
        writeln!(f, "responses: {}", list(&self.seen))?;
        let clients = self.clients.iter().map(|(client, count)| ((*client).to_owned(), *count)).collect();
        writeln!(f, "clients: {}", list(&clients))?;
        writeln!(f, "tasks: {}: {}", self.tasks(), list(&self.states))?;
        write!(f, "faults asked for: {}: {}", self.faults.values().sum::<u64>(), list(&self.faults))
    }
}

fn list(counts: &BTreeMap<String, u64>) -> String {
    let counts: Vec<_> = counts.iter().map(|(what, count)| format!("{what} {count}")).collect();
    counts.join(", ")
}

/// The memory of this process, once a second.
pub(super) struct Memory {
    samples: Vec<Sample>,
}

struct Sample {
    second: u64,
    bytes: usize,
    answered: usize,
}

/// Memory that is being watched.
pub(super) struct Watch {
    end: Sender<()>,
    thread: JoinHandle<Vec<Sample>>,
}

impl Memory {
    /// Begins to watch, beside a count.
    pub(super) fn watch(answered: Arc<AtomicUsize>) -> Watch {
        let (end, ended) = mpsc::channel();
        let start = Instant::now();
        let sample =
            move || Sample { second: start.elapsed().as_secs(), bytes: resident(), answered: answered.load(Relaxed) };
        let thread = std::thread::spawn(move || {
            let mut samples = vec![sample()];
            while ended.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                samples.push(sample());
            }
            samples.push(sample());
            samples
        });
        Watch { end, thread }
    }

    fn first(&self) -> usize {
        self.samples.first().map_or(0, |sample| sample.bytes)
    }

    fn last(&self) -> usize {
        self.samples.last().map_or(0, |sample| sample.bytes)
    }

    fn peak(&self) -> usize {
        self.samples.iter().map(|sample| sample.bytes).max().unwrap_or_default()
    }

    /// How much the memory has grown after the first minutes. In the first minutes it grows, because the engine keeps
    /// some memory of each instance that was alive at the same time.
    pub(super) fn growth(&self) -> usize {
        let level = self.samples.iter().skip_while(|sample| sample.second < WARM_UP);
        growth(&level.map(|sample| sample.bytes).collect::<Vec<_>>())
    }

    /// Writes the samples, and a chart of them.
    pub(super) fn write(&self, title: &str) {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let mut table = "second,resident_bytes,answered\n".to_owned();
        for Sample { second, bytes, answered } in &self.samples {
            writeln!(table, "{second},{bytes},{answered}").unwrap();
        }
        fs::write(folder.join("fault-run.csv"), table).unwrap();
        fs::write(folder.join("fault-run.svg"), self.chart(title)).unwrap();
        println!("the samples and their chart are {}", folder.join("fault-run.{csv,svg}").display());
    }

    fn chart(&self, title: &str) -> String {
        const WIDTH: f64 = 720.0;
        const HEIGHT: f64 = 200.0;
        let seconds = self.samples.last().map_or(1, |sample| sample.second.max(1));
        let most = (self.peak() >> 20).next_multiple_of(50);
        let x = |second: u64| second as f64 / seconds as f64 * WIDTH;
        let y = |bytes: usize| HEIGHT - bytes as f64 / (most << 20) as f64 * HEIGHT;
        let line: Vec<_> =
            self.samples.iter().map(|sample| format!("{:.1},{:.1}", x(sample.second), y(sample.bytes))).collect();
        let mut chart = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"-50 -30 800 270\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect x=\"-50\" y=\"-30\" width=\"800\" height=\"270\" fill=\"white\"/>\n\
             <text y=\"-12\">Resident memory in MiB, by seconds: {title}</text>\n"
        );
        for step in 0..=4 {
            let (mebibytes, second) = (most * step / 4, seconds * step as u64 / 4);
            let (across, down) = (x(second), y(mebibytes << 20));
            write!(
                chart,
                "<path d=\"M0 {down:.1}H{WIDTH}\" stroke=\"#ddd\"/>\n\
                 <text x=\"-6\" y=\"{:.1}\" text-anchor=\"end\">{mebibytes}</text>\n\
                 <text x=\"{across:.1}\" y=\"{}\" text-anchor=\"middle\">{second}</text>\n",
                down + 4.0,
                HEIGHT + 18.0
            )
            .unwrap();
        }
        writeln!(chart, "<polyline points=\"{}\" fill=\"none\" stroke=\"#06c\"/>\n</svg>", line.join(" ")).unwrap();
        chart
    }
}

impl Watch {
    pub(super) fn end(self) -> Memory {
        drop(self.end);
        Memory { samples: self.thread.join().expect("the watch should not panic") }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [before, peak, after] = [self.first(), self.peak(), self.last()].map(|bytes| bytes >> 20);
        write!(f, "memory: {before} MiB before, {peak} at the peak, {after} after")
    }
}

/// How much larger the last third of these values is than the first third. It compares medians, so short peaks do not
/// count.
pub(super) fn growth(values: &[usize]) -> usize {
    let third = values.len().div_ceil(3);
    let median = |part: &[usize]| {
        let mut sorted = part.to_vec();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    };
    median(&values[values.len() - third..]).saturating_sub(median(&values[..third]))
}

/// The memory that this process has in use.
fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn memory_that_grows_beyond_its_level_is_seen() {
    let growth_of = |bytes: fn(u64) -> usize| {
        let sample = |second| Sample { second, bytes: bytes(second), answered: 0 };
        Memory { samples: (0..WARM_UP + 1500).map(sample).collect() }.growth()
    };
    assert_eq!(growth_of(|second| (second.min(WARM_UP) as usize) << 20), 0, "it may come to its level");
    assert_eq!(growth_of(|second| if second % 10 == 0 { 1 << 30 } else { 1 << 20 }), 0, "for a moment it may be large");
    assert_eq!(growth_of(|second| (second as usize) << 16), 1000 << 16, "a leak");
}
