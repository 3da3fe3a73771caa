//! The parts of std that the adapters need: an allocator, a panic handler, and a cell for state. The adapters use this
//! crate in place of std, because std would make each adapter several times as large.

#![no_std]
#![expect(
    unsafe_code,
    reason = "the canonical ABI's allocator, and statics, which are safe only as there are no threads"
)]

extern crate alloc;

use alloc::alloc::{Layout, alloc, realloc};
use core::cell::RefCell;
use core::panic::PanicInfo;

#[global_allocator]
static MEMORY: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}

/// Allocates memory for the canonical ABI. In other programs for this target, std defines this function. The adapters
/// have no std.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
    if size == 0 {
        return core::ptr::without_provenance_mut(align);
    }
    // SAFETY: the canonical ABI passes a valid alignment, and a pointer that an earlier call of this function returned.
    let memory = unsafe {
        match old_size {
            0 => alloc(Layout::from_size_align_unchecked(size, align)),
            _ => realloc(old, Layout::from_size_align_unchecked(old_size, align), size),
        }
    };
    if memory.is_null() { core::arch::wasm32::unreachable() } else { memory }
}

// On this target, the functions `memcmp`, `memcpy` and so on are in libc. The linker adds only the functions that the
// adapter uses.
#[link(name = "c")]
unsafe extern "C" {}

/// A cell for a value that lives as long as the instance.
pub struct Shared<T>(RefCell<T>);

// SAFETY: the WebAssembly target has no threads.
unsafe impl<T> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Creates the cell with its first value.
    pub const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Calls `f` with the cell's value. `f` must not call `with` on the same cell, because the inner call would panic.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }
}
