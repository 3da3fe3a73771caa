//! The budget of an instance: limits on the data that the host keeps for a guest in addition to the guest's own memory.

use epilogue_manifest::values::Size;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::types::{HostIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::p3::{Request, Response};

use super::Limit;
use super::open::{OpenFiles, OpenSockets};
use super::places::{Exceeded, Places};

/// How many handles one instance may hold at a time. If a guest opens one handle more, the guest traps. A request takes
/// about ten handles, and so does each request that a guest sends.
pub(crate) const MAX_HANDLES: usize = 4096;
/// How many handles an instance may keep open after its first request. Some handles stay open, such as stdout and a
/// pool of connections. A guest that keeps more handles would probably leave more handles open at each request.
pub(crate) const MAX_KEPT: usize = 64;
/// How many bytes of header fields one `fields` resource may hold. The value is wasmtime's own default.
pub(crate) const MAX_MAP: usize = 128 << 10;
/// How many bytes of header fields an instance may hold in all its `fields` resources: 64 times [`MAX_MAP`].
const MAX_FIELDS: usize = 64 * MAX_MAP;
/// How many requests an instance may send at the same time.
const MAX_OUTGOING: usize = 256;
/// How many random bytes a guest may ask for in one call. wasmtime makes about 200 bytes per microsecond. Nothing else
/// runs on the thread meanwhile.
pub(crate) const MAX_RANDOM: u64 = 64 << 10;

/// How many bytes one call may carry in addition to the arguments of a task. With this reserve, a guest whose arguments
/// are too large gets `args-too-large`, and the guest can handle that error.
const ABOVE_TASK_ARGS: usize = 512 << 10;

/// How many bytes of keys and values a guest may pass in one call if the guest has key-value stores.
const MAX_VALUES: usize = 16 << 20;

/// Returns how many bytes a guest may pass in one call. A guest that passes more bytes traps. wasmtime copies the bytes
/// before the host sees them, and nothing else runs on the thread meanwhile. Copying a text takes longest, because
/// wasmtime checks that the text is UTF-8. Copying a text of 1.5 MiB takes up to 0.8 ms.
pub(crate) fn largest_call(max_task_args: Size, has_stores: bool) -> usize {
    let values = if has_stores { MAX_VALUES } else { 0 };
    max_task_args.bytes().max(values).saturating_add(ABOVE_TASK_ARGS)
}

/// Counts the header fields, open files and open sockets that the host keeps for an instance.
///
/// The host counts the header fields that a guest makes, and does not subtract the header fields that the guest drops.
/// No resource needs a wrapper for this count. When the count reaches the limit, the host counts the header fields in
/// the instance's table, and continues from that number.
#[derive(Debug, Default)]
pub(crate) struct InstanceBudget {
    fields: usize,
    pub(crate) files: OpenFiles,
    pub(crate) sockets: OpenSockets,
}

/// Gives access to the instance's budget. The data of a wasmtime store implements this trait.
pub(crate) trait Budgeted {
    /// Returns the budget, and the table that holds the instance's resources.
    fn budget(&mut self) -> (&mut InstanceBudget, &mut ResourceTable);

    /// Counts `bytes` of header fields before the guest gets the fields.
    ///
    /// # Errors
    ///
    /// Returns an error if these header fields would exceed the limit of the instance.
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

/// Makes the places for the requests that one instance sends.
pub(crate) fn places_for_requests() -> Places {
    Places::new(Limit::Outgoing, MAX_OUTGOING)
}

/// Returns how many bytes of header fields the host keeps for a handle.
fn size_of_entry(entry: &dyn std::any::Any) -> usize {
    // Resources of WASI 0.2 do not show their fields, so each of these resources counts as a full map.
    if entry.is::<HostOutgoingRequest>() || entry.is::<HostIncomingResponse>() {
        return MAX_MAP;
    }
    let fields = entry.downcast_ref::<FieldMap>();
    let fields = fields.or_else(|| Some(&entry.downcast_ref::<Request>()?.headers));
    let fields = fields.or_else(|| Some(&entry.downcast_ref::<Response>()?.headers));
    fields.map_or(0, |fields| size_of_fields(fields))
}

/// Returns how many bytes the host keeps for these header fields.
pub(crate) fn size_of_fields(fields: &http::HeaderMap) -> usize {
    fields.iter().map(|(name, value)| size_of_field(name.as_str().len(), value.len())).sum()
}

/// Returns how many bytes the host keeps for a header field. `name` and `value` are the lengths of the field's name and
/// value. wasmtime counts header fields with the same formula.
pub(crate) fn size_of_field(name: usize, value: usize) -> usize {
    name + size_of::<http::HeaderName>() + value + size_of::<http::HeaderValue>()
}
