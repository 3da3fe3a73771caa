//! Checks whether a function can be a task. Each error message says what the author can do instead.

use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{Error, FnArg, Item, ItemFn, Lifetime, Pat, Result, Type, TypeImplTrait, TypeReference};

use crate::expand::source;

/// Returns the function in `item`, or an error if the item cannot be a task.
pub(crate) fn task(item: &Item) -> Result<&ItemFn> {
    let Item::Fn(function) = item else {
        return Err(Error::new_spanned(item, "`#[task]` goes on a function"));
    };
    let signature = &function.sig;
    if let Some(receiver) = signature.receiver() {
        return Err(Error::new_spanned(
            receiver,
            "a method cannot be a task, because the host would have to keep `self` until after the response: \
             make it a free function that takes what it needs",
        ));
    }
    if !signature.generics.params.is_empty() || signature.generics.where_clause.is_some() {
        return Err(Error::new_spanned(
            &signature.generics,
            "a task cannot be generic, because the host calls it by its name: write one task for each type",
        ));
    }
    if let Some(keyword) = &signature.unsafety {
        return Err(Error::new_spanned(keyword, "a task cannot be `unsafe`, because the host calls it"));
    }
    if let Some(abi) = &signature.abi {
        return Err(Error::new_spanned(
            abi,
            "a task cannot be `extern`: the host calls it by its name, through the SDK",
        ));
    }
    signature.inputs.iter().try_for_each(argument)?;
    Ok(function)
}

fn argument(argument: &FnArg) -> Result<()> {
    let FnArg::Typed(argument) = argument else {
        return Ok(()); // The argument is `self`, which `task` has already refused.
    };
    if !matches!(&*argument.pat, Pat::Ident(name) if name.subpat.is_none() && name.by_ref.is_none())
        && !matches!(&*argument.pat, Pat::Wild(_))
    {
        return Err(Error::new_spanned(&argument.pat, "a task's argument is a plain name: take it apart in the body"));
    }
    let mut check = OwnedType(Ok(()));
    check.visit_type(&argument.ty);
    check.0
}

/// Searches the type of an argument for references and lifetimes. A task cannot borrow a value, because the value may
/// be gone when the task runs.
struct OwnedType(Result<()>);

impl OwnedType {
    fn refuse(&mut self, at: impl ToTokens, why: String) {
        if self.0.is_ok() {
            self.0 = Err(Error::new_spanned(at, why));
        }
    }
}

impl Visit<'_> for OwnedType {
    fn visit_type_reference(&mut self, reference: &TypeReference) {
        let target = &reference.elem;
        let owned = match &**target {
            Type::Path(path) if path.path.is_ident("str") => "String".to_owned(),
            Type::Slice(slice) => {
                format!("Vec<{}>", source(&slice.elem))
            }
            other => source(other),
        };
        self.refuse(
            reference,
            format!("a task outlives the request that enqueues it, so it owns its arguments: use `{owned}`"),
        );
    }

    fn visit_type_impl_trait(&mut self, opaque: &TypeImplTrait) {
        self.refuse(
            opaque,
            "a task's arguments are stored, so each has a named type: use a type instead of `impl Trait`".to_owned(),
        );
    }

    fn visit_lifetime(&mut self, lifetime: &Lifetime) {
        if lifetime.ident != "static" {
            self.refuse(
                lifetime,
                "a task outlives the request that enqueues it, so it owns its arguments: use a type that borrows nothing"
                    .to_owned(),
            );
        }
        visit::visit_lifetime(self, lifetime);
    }
}
