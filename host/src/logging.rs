//! What the host says about itself: events on stderr.

use std::io::IsTerminal as _;

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::output::Events;
use crate::settings::HostOptions;
use crate::values::LogFormat;

/// Writes events to stderr from here on. stdout belongs to the guests, and to the address line.
pub(crate) fn init(options: &HostOptions) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&options.log).with_context(|| format!("{:?} is not a log filter", options.log))?;
    // An event that cannot be written is lost. Saying so on stderr too would panic, amid a request or a shutdown.
    let subscriber = fmt().with_env_filter(filter).with_writer(|| Events).log_internal_errors(false);
    match options.log_format {
        LogFormat::Text => subscriber.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => {
            subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
        }
    }
    Ok(())
}
