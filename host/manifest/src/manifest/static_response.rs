//! Reads a trigger's key `static_response`, which describes a fixed response. The host sends this response itself,
//! without a component.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use super::reader::{Entry, Section};

/// The headers that a fixed response must not set. The host sets these headers itself, because they are about the
/// connection or the length of the body.
const HOSTS_OWN: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Reads a trigger's key `static_response`. If the trigger does not have this key, returns `None`.
pub(super) fn read(trigger: &mut Section<'_>) -> anyhow::Result<Option<Response<String>>> {
    let name = format!("static_response in {}", trigger.name());
    let Some(value) = trigger.take_value("static_response") else { return Ok(None) };
    let mut table = trigger.open(name, value)?;
    let mut response = Response::default();
    *response.status_mut() = status(&mut table)?;
    *response.headers_mut() = headers(&mut table)?;
    *response.body_mut() = table.take("body")?.unwrap_or_default();
    table.finish()?;
    Ok(Some(response))
}

fn status(table: &mut Section<'_>) -> anyhow::Result<StatusCode> {
    let Some((number, at)) = table.take_spanned::<i64>("status_code")? else { return Ok(StatusCode::OK) };
    let status = u16::try_from(number).ok().and_then(|number| StatusCode::from_u16(number).ok());
    status.filter(|status| !status.is_informational()).ok_or_else(|| {
        let message =
            format_args!("\"status_code\" in {} must be a status from 200 to 999, not {number}", table.name());
        table.error(&at, message)
    })
}

fn headers(table: &mut Section<'_>) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let Some(value) = table.take_value("headers") else { return Ok(headers) };
    let mut entries = table.open(format!("headers of {}", table.name()), value)?;
    for Entry { key, span, value } in entries.take_rest() {
        let name: HeaderName = key.parse().map_err(|_| {
            entries.error(&span, format_args!("{key:?} in {} is not the name of a header", entries.name()))
        })?;
        if HOSTS_OWN.contains(&name) {
            let message = format_args!("{key:?} in {}: the host sets this header itself: remove it", entries.name());
            return Err(entries.error(&span, message));
        }
        let at = value.span();
        let text: String = entries.decode(&key, value)?;
        let value = HeaderValue::try_from(text).map_err(|_| {
            let message = format_args!(
                "{key:?} in {} cannot be a header: it has a line break or another control character",
                entries.name()
            );
            entries.error(&at, message)
        })?;
        // The manifest may name a header twice, in different case. The response has both values, in the order of the
        // manifest.
        headers.append(name, value);
    }
    Ok(headers)
}
