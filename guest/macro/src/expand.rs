//! Generates the code for a function with the attribute `#[task]`, after the function has passed the checks.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::{FnArg, ItemFn, LitStr, PatType, ReturnType};

use crate::backoff::Backoff;

/// Replaces a checked function by a unit struct with the function's name. The guest's code can pass this unit struct to
/// `add_task`, and can call this unit struct like the function.
pub(crate) fn task(function: &ItemFn, name: Option<LitStr>, durable: bool, backoff: Option<Backoff>) -> TokenStream {
    let ident = &function.sig.ident;
    let visibility = &function.vis;
    let (docs, attributes): (Vec<_>, Vec<_>) =
        function.attrs.iter().partition(|attribute| attribute.path().is_ident("doc"));

    let arguments: Vec<&PatType> = function.sig.inputs.iter().filter_map(typed).collect();
    let types: Vec<_> = arguments.iter().map(|argument| &argument.ty).collect();
    // If serde cannot serialize or deserialize an argument, the compiler's error points to this span.
    let args = quote_spanned!(function.sig.paren_token.span.join()=> (#(#types,)*));
    let values: Vec<_> = (0..types.len()).map(|index| format_ident!("a{index}")).collect();

    let bare_name = ident.unraw().to_string();
    let name = match name {
        Some(name) => quote!(#name),
        None => {
            quote!(::epilogue_sdk::__private::without_crate(::core::concat!(::core::module_path!(), "::", #bare_name)))
        }
    };
    let backoff = backoff.map(|Backoff { first, max }| {
        quote! {
            const BACKOFF: ::core::option::Option<(::core::time::Duration, ::core::time::Duration)> =
                ::core::option::Option::Some((
                    ::core::time::Duration::from_millis(#first),
                    ::core::time::Duration::from_millis(#max),
                ));
        }
    });
    let signature = signature(&bare_name, &arguments);

    // The inner function contains the task's body. Its name differs from the task's name, so that the body can use the
    // task's name to enqueue the task again.
    let body = format_ident!("__{bare_name}");
    let mut inner = function.sig.clone();
    inner.ident = body.clone();
    let block = &function.block;

    let output = match &function.sig.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, output) => quote!(#output),
    };
    let (called, call, wait) = match function.sig.asyncness {
        Some(_) => (
            quote!(::epilogue_sdk::__private::Called<#output>),
            quote!(|#(#values),*| ::std::boxed::Box::pin(#body(#(#values),*))),
            quote!(.await),
        ),
        None => (output.clone(), quote!(#body), quote!()),
    };

    quote! {
        #(#docs)*
        #[allow(non_camel_case_types, reason = "it stands for the function of this name")]
        #[derive(Clone, Copy)]
        #visibility struct #ident;

        const _: () = {
            #(#attributes)*
            #inner #block

            impl ::epilogue_sdk::Task for #ident {
                type Args = #args;
                const NAME: &'static str = #name;
                const DURABLE: bool = #durable;
                #backoff

                async fn run((#(#values,)*): Self::Args) -> ::core::result::Result<(), ::std::string::String> {
                    <#output as ::epilogue_sdk::TaskResult>::into_result(#body(#(#values),*) #wait)
                }
            }

            impl ::core::ops::Deref for #ident {
                type Target = fn(#(#types),*) -> #called;

                fn deref(&self) -> &Self::Target {
                    const CALL: fn(#(#types),*) -> #called = #call;
                    &CALL
                }
            }

            const LOCATION: &::core::primitive::str = ::core::concat!(
                ::core::module_path!(), "::", #bare_name, " (", ::core::file!(), ":", ::core::line!(), ")"
            );

            ::epilogue_sdk::__private::submit! {
                ::epilogue_sdk::__private::Registration::of::<#ident>(#signature, LOCATION)
            }

            ::epilogue_sdk::__private::note_task!(#ident, LOCATION);
        };
    }
}

fn typed(argument: &FnArg) -> Option<&PatType> {
    match argument {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    }
}

/// Returns the task's signature in the form of the source code, such as `write_log(message: String)`.
fn signature(name: &str, arguments: &[&PatType]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|PatType { pat, ty, .. }| source(quote!(#pat: #ty))).collect();
    format!("{name}({})", arguments.join(", "))
}

/// Returns the source text of some tokens, without the spaces that `to_string` puts between the tokens.
pub(crate) fn source(tokens: impl ToTokens) -> String {
    [(" : ", ": "), (" :: ", "::"), (" < ", "<"), (" >", ">"), (" ,", ","), (" ;", ";")]
        .iter()
        .fold(tokens.to_token_stream().to_string(), |text, (printed, written)| text.replace(printed, written))
}
