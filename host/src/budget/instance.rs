//! Limits the data that the host keeps for an instance in addition to the guest's own memory.

use epilogue_manifest::values::Size;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::types::{HostIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::p3::{Request, Response};

use super::Limit;
use super::open::{OpenFiles, OpenSockets};
use super::places::{Exceeded, Places};

/// The largest number of handles that one instance may hold at the same time. If the guest already holds this number of
/// handles and opens another handle, the guest traps. Each request that the guest serves or sends takes about ten
/// handles.
pub(crate) const MAX_HANDLES: usize = 4096;
/// The number of handles that an instance may still keep open after its first request. For example, a guest may keep
/// stdout and a pool of connections open. A guest that keeps more than this number of handles probably forgets to close
/// handles at every request.
pub(crate) const MAX_KEPT: usize = 64;
/// The number of bytes of header fields that one `fields` resource may hold. The value is wasmtime's own default.
pub(crate) const MAX_MAP: usize = 128 << 10;
/// The number of bytes of header fields that an instance may hold in all its `fields` resources together.
const MAX_FIELDS: usize = 64 * MAX_MAP;
/// The number of requests that an instance may send at the same time.
const MAX_OUTGOING: usize = 256;
/// The number of random bytes that a guest may ask for in one call. wasmtime makes about 200 bytes per microsecond.
/// While wasmtime makes the bytes, nothing else can run on the thread.
pub(crate) const MAX_RANDOM: u64 = 64 << 10;

/// The number of bytes that one call may pass beyond `max-task-args`, the limit on a task's arguments. If the arguments
/// exceed `max-task-args` by less than this reserve, the call returns the error `args-too-large`, which the guest can
/// handle. If the arguments exceed `max-task-args` by more than this reserve, the guest traps.
const ABOVE_TASK_ARGS: usize = 512 << 10;

/// The number of bytes of keys and values that a guest may pass in one call, if the guest has key-value stores.
const MAX_VALUES: usize = 16 << 20;

/// Returns the number of bytes that a guest may pass in one call. If a guest passes more bytes in one call, the guest
/// traps. The host needs this limit because wasmtime copies all bytes of a call before the host's own code can refuse
/// the call. While wasmtime copies the bytes, nothing else can run on the thread. wasmtime copies text more slowly than
/// other bytes, because wasmtime also checks that the text is UTF-8: wasmtime needs up to 0.8 ms for 1.5 MiB of text.
pub(crate) fn largest_call(max_task_args: Size, has_stores: bool) -> usize {
    let values = if has_stores { MAX_VALUES } else { 0 };
    max_task_args.bytes().max(values).saturating_add(ABOVE_TASK_ARGS)
}

/// Counts the header fields, open files and open sockets that the host keeps for an instance.
///
/// The host adds up the bytes of the header fields that a guest makes, and never subtracts header fields that the guest
/// drops. Therefore, the host does not need to observe when a guest drops header fields. When the sum reaches the
/// limit, the host measures the header fields that the instance really holds, and replaces the sum by this size.
#[derive(Debug, Default)]
pub(crate) struct InstanceBudget {
    fields: usize,
    pub(crate) files: OpenFiles,
    pub(crate) sockets: OpenSockets,
}

/// Gives access to an instance's [`InstanceBudget`]. The data of each wasmtime store implements this trait.
pub(crate) trait Budgeted {
    /// Returns the instance's [`InstanceBudget`], and the table that holds the instance's resources.
    fn budget(&mut self) -> (&mut InstanceBudget, &mut ResourceTable);

    /// Counts `bytes` bytes of header fields. The host calls this function before it gives the fields to the guest.
    ///
    /// # Errors
    ///
    /// Returns an error if these fields would raise the instance's bytes of header fields above the limit.
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

/// Makes the limit on the number of requests that one instance sends at the same time.
pub(crate) fn places_for_requests() -> Places {
    Places::new(Limit::Outgoing, MAX_OUTGOING)
}

/// Returns the number of bytes of header fields that the host keeps for one entry of an instance's resource table.
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

/// Returns the number of bytes that the host counts for all header fields in `fields`.
pub(crate) fn size_of_fields(fields: &http::HeaderMap) -> usize {
    fields.iter().map(|(name, value)| size_of_field(name.as_str().len(), value.len())).sum()
}

/// Returns the number of bytes that the host counts for one header field. `name` and `value` are the lengths of the
/// field's name and value, in bytes. wasmtime counts with the same formula for its own limit on the header fields of
/// one resource ([`MAX_MAP`]).
pub(crate) fn size_of_field(name: usize, value: usize) -> usize {
    name + size_of::<http::HeaderName>() + value + size_of::<http::HeaderValue>()
}
