//! The budget of an instance: what the host keeps for its guest in addition to the guest's own memory.

use epilogue_manifest::values::Size;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::types::{HostIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::p3::{Request, Response};

use super::Limit;
use super::open::{OpenFiles, OpenSockets};
use super::places::{Exceeded, Places};

/// How many handles one instance may hold at a time. A guest that opens one more traps. A request takes some ten
/// handles, and so does each request that a guest sends.
pub(crate) const MAX_HANDLES: usize = 4096;
/// How many handles an instance may keep after its first request. Some handles stay open, such as stdout and a pool of
/// connections. A guest that leaves more handles open would probably leave more at each request.
pub(crate) const MAX_KEPT: usize = 64;
/// How many bytes of header fields one `fields` may hold: wasmtime's own default.
pub(crate) const MAX_MAP: usize = 128 << 10;
/// How many bytes of header fields an instance may hold: as many as 64 full maps.
const MAX_FIELDS: usize = 64 * MAX_MAP;
/// How many requests an instance may send at the same time.
const MAX_OUTGOING: usize = 256;
/// How many random bytes a guest may ask for in one call. wasmtime makes about 200 bytes per microsecond, and meanwhile
/// nothing else runs on the thread.
pub(crate) const MAX_RANDOM: u64 = 64 << 10;

/// How many bytes more than the arguments of a task a guest may pass in one call. So a guest whose arguments are too large
/// gets `args-too-large`, which it can handle.
const ABOVE_TASK_ARGS: usize = 512 << 10;

/// How many bytes of keys and values a guest with key-value stores may pass in one call.
const MAX_VALUES: usize = 16 << 20;

/// How many bytes a guest may pass in one call. A guest that passes more traps. wasmtime copies the bytes before the
/// host sees them, and meanwhile nothing else runs on the thread. A text takes longest, because wasmtime checks that it
/// is UTF-8: 1.5 MiB take up to 0.8 ms.
pub(crate) fn largest_call(max_task_args: Size, has_stores: bool) -> usize {
    let values = if has_stores { MAX_VALUES } else { 0 };
    max_task_args.bytes().max(values).saturating_add(ABOVE_TASK_ARGS)
}

/// What the host keeps for an instance.
///
/// The host counts the header fields that a guest makes, and does not subtract those that it drops. So no resource needs
/// a wrapper. When the count reaches its limit, the host counts what the instance's table really holds, and continues from
/// there.
#[derive(Debug, Default)]
pub(crate) struct InstanceBudget {
    fields: usize,
    pub(crate) files: OpenFiles,
    pub(crate) sockets: OpenSockets,
}

/// The data of a store whose guest has a budget.
pub(crate) trait Budgeted {
    /// The budget, and the table that holds the instance's resources.
    fn budget(&mut self) -> (&mut InstanceBudget, &mut ResourceTable);

    /// Counts header fields of this size, before the guest gets them.
    ///
    /// # Errors
    ///
    /// Returns an error if the instance would then exceed the limit.
    fn charge_fields(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let (budget, table) = self.budget();
        if budget.fields + bytes > MAX_FIELDS {
            budget.fields = table.iter_mut().map(|entry| size_of_entry(entry)).sum();
        }
        if budget.fields + bytes > MAX_FIELDS {
            Limit::Fields.hit();
            return Err(Exceeded(Limit::Fields, MAX_FIELDS));
        }
        budget.fields += bytes;
        Ok(())
    }
}

/// The places for the requests that one instance sends.
pub(crate) fn places_for_requests() -> Places {
    Places::new(Limit::Outgoing, MAX_OUTGOING)
}

/// The bytes of header fields that the host keeps for a handle.
fn size_of_entry(entry: &dyn std::any::Any) -> usize {
    // Those of WASI 0.2 do not show their fields.
    if entry.is::<HostOutgoingRequest>() || entry.is::<HostIncomingResponse>() {
        return MAX_MAP;
    }
    let fields = entry.downcast_ref::<FieldMap>();
    let fields = fields.or_else(|| Some(&entry.downcast_ref::<Request>()?.headers));
    let fields = fields.or_else(|| Some(&entry.downcast_ref::<Response>()?.headers));
    fields.map_or(0, |fields| size_of_fields(fields))
}

/// The bytes that the host keeps for these fields.
pub(crate) fn size_of_fields(fields: &http::HeaderMap) -> usize {
    fields.iter().map(|(name, value)| size_of_field(name.as_str().len(), value.len())).sum()
}

/// The bytes that the host keeps for a field with these lengths of name and value, as wasmtime counts them.
pub(crate) fn size_of_field(name: usize, value: usize) -> usize {
    name + size_of::<http::HeaderName>() + value + size_of::<http::HeaderValue>()
}
