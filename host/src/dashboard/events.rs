//! Sends server-sent events to the page, so that the page shows changes immediately. A frame is a group of events that
//! are sent together.

use std::convert::Infallible;
use std::mem::replace;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use serde::Serialize;
use serde_json::json;

use super::Body;
use super::answer::{Host, Rights};
use crate::reports::history::History;
use crate::reports::view::Summary;
use crate::server::overview::Overview;

/// The shortest time between two frames of events.
const FRAME: Duration = Duration::from_millis(100);
/// The time between two events about the state of the host, and between two updates about a running request.
const HOST: Duration = Duration::from_secs(1);
/// If the host has sent no events on a connection for this time, the host sends a comment instead, so that no proxy
/// closes the connection. Browsers ignore such a comment.
const PING: Duration = Duration::from_secs(15);
/// The largest number of requests in one frame. If the page should get more requests than this number, the frame says
/// how many requests it leaves out.
const MOST: usize = 100;

/// The state of one stream of events. Each open page has its own stream.
struct Feed {
    overview: Overview,
    history: History,
    rights: Rights,
    /// The number of requests that had ended when the host made the last frame.
    seen: u64,
    host_told: Option<Instant>,
    told: Instant,
    /// The number of reloads of the application that the host had finished when it made the last frame.
    reloads: usize,
}

/// Answers with a stream of events. The host sends events until the connection ends. `last` is the id of the last event
/// that the page has received on an earlier connection. If `last` is set, the stream begins with the requests that have
/// ended since this event.
pub(super) fn stream(overview: Overview, history: History, rights: Rights, last: Option<u64>) -> Response<Body> {
    let seen = last.unwrap_or_else(|| history.ended_so_far()).min(history.ended_so_far());
    let reloads = overview.reloads().len();
    let feed = Feed { overview, history, rights, seen, host_told: None, told: Instant::now(), reloads };
    let frames = stream::unfold(feed, |mut feed| async move {
        let text = loop {
            let text = feed.next().await;
            if !text.is_empty() {
                break text;
            }
            tokio::time::sleep(FRAME).await;
        };
        tokio::time::sleep(FRAME).await;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), feed))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Feed {
    /// Returns the next events as text. The text is empty if nothing has happened.
    async fn next(&mut self) -> String {
        let mut text = String::new();
        let now = Instant::now();
        let host_due = self.host_told.is_none_or(|told| now.duration_since(told) >= HOST);
        let (ended, ended_so_far) = self.history.after(self.seen, MOST, |_| true);
        let live = self.overview.live().map(|live| live.all()).unwrap_or_default();
        let mut requests: Vec<Summary> = ended.iter().map(Summary::of).collect();
        let mut dropped = (ended_so_far - self.seen).saturating_sub(requests.len() as u64);
        // The page gets new requests at once, and updates about running requests once a second.
        let fresh = |summary: &Summary| summary.now < 2 * FRAME.as_micros() as u64;
        let running = live.iter().map(|shared| shared.lock()).filter(|timeline| timeline.facts.ended.is_none());
        let running = running.map(|timeline| Summary::of(&timeline)).filter(|summary| host_due || fresh(summary));
        for summary in running {
            if requests.len() < MOST {
                requests.push(summary);
            } else {
                dropped += 1;
            }
        }
        if !requests.is_empty() {
            self.seen = ended_so_far;
            push(&mut text, self.seen, "requests", &json!({ "requests": requests, "dropped": dropped }));
        }
        if host_due {
            self.host_told = Some(now);
            let (state, reloads) = (self.overview.state().await, self.overview.reloads().len());
            if reloads != replace(&mut self.reloads, reloads) {
                push(&mut text, self.seen, "reload", &json!({ "at": state.now }));
            }
            push(&mut text, self.seen, "host", &Host { state, rights: self.rights });
        }
        if text.is_empty() && now.duration_since(self.told) >= PING {
            text.push_str(": ping\n\n");
        }
        if !text.is_empty() {
            self.told = now;
        }
        text
    }
}

/// Appends one event to `text`. The JSON in `data` contains no line breaks.
fn push(text: &mut String, id: u64, event: &str, data: &impl Serialize) {
    if let Ok(data) = serde_json::to_string(data) {
        text.push_str(&format!("id: {id}\nevent: {event}\ndata: {data}\n\n"));
    }
}
