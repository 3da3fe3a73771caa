//! Defines the attribute `task`. Guests use the attribute under the name `epilogue_sdk::task`. The documentation of the
//! attribute is in the crate epilogue-sdk.

mod backoff;
mod check;
mod expand;

use proc_macro::TokenStream;
use syn::{Item, LitStr, parse_macro_input};

#[allow(missing_docs, reason = "it is documented where it is used from")]
#[proc_macro_attribute]
pub fn task(attribute: TokenStream, item: TokenStream) -> TokenStream {
    let mut name = None;
    let mut durable = false;
    let mut backoff = None;
    let options = syn::meta::parser(|meta| {
        if meta.path.is_ident("durable") {
            if durable {
                return Err(meta.error("`durable` is given twice"));
            }
            durable = true;
            return Ok(());
        }
        if meta.path.is_ident("backoff") {
            if backoff.replace(backoff::parse(&meta.value()?.parse()?)?).is_some() {
                return Err(meta.error("`backoff` is given twice"));
            }
            return Ok(());
        }
        if !meta.path.is_ident("name") {
            return Err(
                meta.error("`#[task]` knows three options: `name = \"…\"`, `durable`, and `backoff = \"1s..5m\"`")
            );
        }
        let value: LitStr = meta.value()?.parse()?;
        if value.value().is_empty() {
            return Err(syn::Error::new(value.span(), "a task's name cannot be empty"));
        }
        if name.replace(value).is_some() {
            return Err(meta.error("`name` is given twice"));
        }
        Ok(())
    });
    parse_macro_input!(attribute with options);

    let item = parse_macro_input!(item as Item);
    match check::task(&item) {
        Ok(function) => expand::task(function, name, durable, backoff).into(),
        // The output contains the unchanged item and the error. Without the item, the compiler would also report
        // "cannot find function".
        Err(error) => {
            let error = error.into_compile_error();
            quote::quote!(#error #item).into()
        }
    }
}
