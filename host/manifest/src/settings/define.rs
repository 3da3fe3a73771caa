//! Defines the macro `settings!`, which makes structs and command-line options from a list of settings.

macro_rules! settings {
    (
        $(#[doc = $about:literal])+
        pub struct $resolved:ident;
        $(#[doc = $overlay_about:literal])+
        pub struct $overlay:ident {
            $(
                $(#[doc = $doc:literal])+
                #[arg($($arg:tt)*)]
                $name:ident: $type:ty $(= $default:expr)? $(, least $least:expr)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq)]
        pub struct $resolved {
            $($(#[doc = $doc])+ pub $name: resolved_type!($type $(, $default)?),)+
        }

        impl Default for $resolved {
            fn default() -> Self {
                $overlay::default().resolve()
            }
        }

        impl $resolved {
            /// Returns the names of the settings whose values in `self` and `other` differ.
            pub fn differing(&self, other: &Self) -> Vec<String> {
                let differing = [$((stringify!($name), self.$name != other.$name)),+];
                differing.iter().filter(|(_, differs)| *differs).map(|(name, _)| name.replace('_', "-")).collect()
            }
        }

        $(#[doc = $overlay_about])+
        #[derive(Clone, Debug, Default, PartialEq, clap::Args)]
        pub struct $overlay {
            $(
                $(#[doc = $doc])+
                #[arg(
                    long,
                    value_parser = parser!($type $(, $least)?),
                    help = help(concat!($($doc),+), None $(.or(Some(<$type as Value>::show(&$default))))?),
                    $($arg)*
                )]
                pub $name: Option<$type>,
            )+
        }

        impl $overlay {
            /// Returns the names of the settings as a manifest writes them, with dashes.
            pub fn names() -> Vec<String> {
                vec![$(stringify!($name).replace('_', "-")),+]
            }

            /// Sets the setting that a manifest calls `name`. Returns false if no setting has this name.
            ///
            /// # Errors
            ///
            /// Returns an error if the value is not valid for the setting.
            pub fn set(&mut self, name: &str, value: &str) -> Result<bool, String> {
                $(
                    if name.replace('-', "_") == stringify!($name) && !name.contains('_') {
                        self.$name = Some(parser!($type $(, $least)?)(value)?);
                        return Ok(true);
                    }
                )+
                Ok(false)
            }

            /// Returns the settings of `self`. For each setting that `self` does not have, returns the value of
            /// `below`.
            pub fn over(self, below: Self) -> Self {
                Self { $($name: self.$name.or(below.$name)),+ }
            }

            /// Returns a value for each setting. If a setting is missing, returns the setting's default.
            pub fn resolve(self) -> $resolved {
                $resolved { $($name: resolved_value!(self.$name $(, $default)?)),+ }
            }
        }
    };
}

macro_rules! parser {
    ($type:ty) => {
        <$type as Value>::parse
    };
    ($type:ty, $least:expr) => {
        at_least::<$type>($least)
    };
}

macro_rules! resolved_type {
    ($type:ty) => { Option<$type> };
    ($type:ty, $default:expr) => { $type };
}

macro_rules! resolved_value {
    ($value:expr) => {
        $value
    };
    ($value:expr, $default:expr) => {
        $value.unwrap_or($default)
    };
}
