//! Limits the log. If an event happens again and again, the host logs the event only once a minute, with the number of
//! times that the event has happened.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

const MINUTE: Duration = Duration::from_secs(60);

/// The largest number of subjects that [`EachOnceAMinute`] counts separately. A subject is, for example, a server to
/// which guests send requests.
const SUBJECTS: usize = 16;

/// Makes sure that the host logs an event at most once a minute.
#[derive(Debug, Default)]
pub(crate) struct OnceAMinute(Mutex<Pace>);

#[derive(Debug, Default)]
struct Pace {
    told: Option<Instant>,
    /// The number of times that the event has happened since the host last logged the event.
    times: u64,
}

impl OnceAMinute {
    /// Counts the event. Returns `None` if the host has logged the event within the last minute. Otherwise, the caller
    /// must log the event, and the result is the number of times that the event has happened since the host last logged
    /// the event.
    pub(crate) fn due(&self) -> Option<u64> {
        self.note().ok()
    }

    /// Counts the event, and logs the event with `log`, which gets the count. If the host has logged the event less
    /// than a minute ago, only counts the event. When the minute is over, the host logs the count once, with the
    /// function `log` that came with the first counted event.
    pub(crate) fn log(self: &Arc<Self>, log: impl FnOnce(u64) + Send + 'static) {
        match self.note() {
            Ok(times) => log(times),
            Err((1, again)) => self.log_at(again, log),
            Err(_) => {}
        }
    }

    /// Counts the event. If the host may log the event now, returns the number of times that the event has happened
    /// since the host last logged the event. Otherwise, returns an error with the same number, and with the time at
    /// which the host may log the event again.
    fn note(&self) -> Result<u64, (u64, Instant)> {
        let (now, mut pace) = (Instant::now(), self.pace());
        pace.times += 1;
        match pace.told.map(|told| told + MINUTE).filter(|again| now < *again) {
            Some(again) => Err((pace.times, again)),
            None => {
                pace.told = Some(now);
                Ok(std::mem::take(&mut pace.times))
            }
        }
    }

    fn log_at(self: &Arc<Self>, again: Instant, log: impl FnOnce(u64) + Send + 'static) {
        // If there is no tokio runtime, the host logs the count with the next event.
        let Ok(runtime) = Handle::try_current() else { return };
        let pace = self.clone();
        runtime.spawn(async move {
            sleep_until(again).await;
            if let Some(times) = pace.take_rest() {
                log(times);
            }
        });
    }

    /// Returns the number of times that the event has happened since the host last logged the event. Returns `None` if
    /// this number is 0, or if the host has logged the event within the last minute.
    fn take_rest(&self) -> Option<u64> {
        let (now, mut pace) = (Instant::now(), self.pace());
        if pace.times == 0 || pace.told.is_some_and(|told| now - told < MINUTE) {
            return None;
        }
        pace.told = Some(now);
        Some(std::mem::take(&mut pace.times))
    }

    /// Reports whether the host has logged all counted events, and would log the next event immediately.
    fn is_idle(&self) -> bool {
        let pace = self.pace();
        pace.times == 0 && pace.told.is_none_or(|told| told.elapsed() >= MINUTE)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes sure that the host logs an event at most once a minute for each subject, such as the server to which a guest
/// sends a request. The host counts at most [`SUBJECTS`] subjects separately at the same time, and all other subjects
/// together, because a guest can cause events with any number of subjects.
#[derive(Debug, Default)]
pub(crate) struct EachOnceAMinute {
    /// The hash of each subject, and the count of the subject's events. The list does not contain the subjects
    /// themselves, because a guest can choose long texts.
    subjects: Mutex<Vec<(u64, Arc<OnceAMinute>)>>,
    others: Arc<OnceAMinute>,
}

impl EachOnceAMinute {
    /// Counts the event for `subject`, and logs the event with `log`, as [`OnceAMinute::log`] does.
    pub(crate) fn log(&self, subject: &str, log: impl FnOnce(u64) + Send + 'static) {
        self.pace_of(subject).log(log);
    }

    fn pace_of(&self, subject: &str) -> Arc<OnceAMinute> {
        let mut hasher = DefaultHasher::new();
        subject.hash(&mut hasher);
        let hash = hasher.finish();
        let mut subjects = self.subjects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pace)) = subjects.iter().find(|(known, _)| *known == hash) {
            return pace.clone();
        }
        if subjects.len() >= SUBJECTS {
            subjects.retain(|(_, pace)| !pace.is_idle());
        }
        if subjects.len() >= SUBJECTS {
            return self.others.clone();
        }
        let pace = Arc::<OnceAMinute>::default();
        subjects.push((hash, pace.clone()));
        pace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Told = Arc<Mutex<Vec<(u64, u64)>>>;

    /// Returns a `log` function that adds two numbers to `told`: the seconds since `start`, and the count of events.
    fn log(told: &Told, start: Instant) -> impl FnOnce(u64) + Send + use<> {
        let told = told.clone();
        move |times| told.lock().unwrap().push((start.elapsed().as_secs(), times))
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_twice_a_second_is_told_once_a_minute_with_its_count() {
        let (seldom, mut told) = (OnceAMinute::default(), Vec::new());
        for half_second in 0..300 {
            told.extend(seldom.due().map(|times| (half_second, times)));
            tokio::time::advance(Duration::from_millis(500)).await;
        }
        assert_eq!(told, [(0, 1), (120, 120), (240, 120)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_stopped_is_told_at_the_end_of_the_minute() {
        let (seldom, told, start) = (Arc::<OnceAMinute>::default(), Told::default(), Instant::now());
        for _ in 0..30 {
            seldom.log(log(&told, start));
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        tokio::time::sleep(10 * MINUTE).await;
        seldom.log(log(&told, start));
        tokio::time::sleep(10 * MINUTE).await;
        assert_eq!(*told.lock().unwrap(), [(0, 1), (60, 29), (630, 1)]);
    }

    #[tokio::test(start_paused = true)]
    async fn subjects_without_end_are_told_of_together() {
        let (seldom, told, start) = (EachOnceAMinute::default(), Told::default(), Instant::now());
        for subject in 0..100 {
            seldom.log(&subject.to_string(), log(&told, start));
            seldom.log("0", log(&told, start));
        }
        assert_eq!(*told.lock().unwrap(), [(0, 1); SUBJECTS + 1]);
        tokio::time::sleep(2 * MINUTE).await;
        assert_eq!(told.lock().unwrap()[SUBJECTS + 1..], [(60, 100), (60, 83)]);
        // After a minute, the host forgets the subjects of that minute, and counts new subjects separately.
        told.lock().unwrap().clear();
        for subject in 200..300 {
            seldom.log(&subject.to_string(), log(&told, start));
        }
        assert_eq!(*told.lock().unwrap(), [(120, 1); SUBJECTS + 1]);
    }
}
