//! The table of keys: doc comment, default and bounds are written once, and become the struct, its `Default`,
//! its reading with complaints, and its pages of the reference.

/// Writes a section: a struct, its `Default`, and its [`Setting`]. `verified` names a function that is asked for
/// conflicts between keys once all of them are readable.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        pub struct $section:ident {
            $(
                $(#[doc = $doc:literal])*
                $key:ident: $type:ty = $default:expr $(, within $bounds:expr)? $(, example $example:literal)?;
            )*
        }
        $(verified $verify:path)?
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $section { $( $(#[doc = $doc])* pub $key: $type, )* }

        impl Default for $section {
            fn default() -> Self {
                Self { $( $key: $default, )* }
            }
        }

        impl $crate::config::setting::Setting for $section {
            fn expected() -> String {
                "a table".into()
            }

            fn shape() -> $crate::config::section::Shape {
                $crate::config::section::Shape::Table(vec![$({
                    let bounds: Option<$crate::config::section::Bounds<$type>> = section!(@bounds $($bounds)?);
                    let docs: &[&str] = &[$($doc),*];
                    let example: Option<&'static str> = section!(@optional $($example)?);
                    $crate::config::section::key::<$type>(stringify!($key), docs, &$default, bounds.as_ref(), example)
                },)*])
            }

            fn read(
                node: &$crate::config::tree::Node,
                path: &str,
                problems: &mut Vec<$crate::config::error::Problem>,
            ) -> Option<Self> {
                let before = problems.len();
                let table = $crate::config::section::Reading::new(node, path, &[$(stringify!($key)),*], problems)?;
                $(
                    let bounds: Option<$crate::config::section::Bounds<$type>> = section!(@bounds $($bounds)?);
                    let $key = table.key::<$type>(stringify!($key), || $default, bounds.as_ref(), problems);
                )*
                let section = Self { $($key: $key?,)* };
                $(
                    if problems.len() == before {
                        table.conflicts($verify(&section), problems);
                    }
                )?
                (problems.len() == before).then_some(section)
            }

            fn render(&self) -> Option<String> {
                let entries = [$((stringify!($key), $crate::config::setting::Setting::render(&self.$key)),)*];
                Some($crate::config::section::inline_table(&entries))
            }

            fn leaves(&self, path: &str, leaves: &mut Vec<(String, String)>) {
                $(
                    let path_of_key = $crate::config::section::child(path, stringify!($key));
                    $crate::config::setting::Setting::leaves(&self.$key, &path_of_key, leaves);
                )*
            }
        }
    };
    (@bounds) => { None };
    (@bounds $range:expr) => { Some($crate::config::section::Bounds::new($range)) };
    (@optional) => { None };
    (@optional $value:expr) => { Some($value) };
}

/// Writes a choice between words: an enum whose variants carry their word and meaning.
macro_rules! choice {
    (
        $(#[doc = $about:literal])*
        pub enum $choice:ident { $( $(#[doc = $doc:literal])* $variant:ident = $word:literal, )* }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $choice { $( $(#[doc = $doc])* $variant, )* }

        impl $choice {
            /// The word that stands for this in `motet.toml`.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $choice {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl $crate::config::setting::Setting for $choice {
            fn expected() -> String {
                let words = [$(concat!("\"", $word, "\"")),*];
                format!("one of {}", words.join(", "))
            }

            fn choices() -> Vec<(&'static str, String)> {
                vec![$(($word, $crate::config::section::prose(&[$($doc),*])),)*]
            }

            fn read(
                node: &$crate::config::tree::Node,
                path: &str,
                problems: &mut Vec<$crate::config::error::Problem>,
            ) -> Option<Self> {
                match node.value.text() {
                    $(Some($word) => Some(Self::$variant),)*
                    _ => $crate::config::setting::not_a_choice::<Self>(node, path, &[$($word),*], problems),
                }
            }

            fn render(&self) -> Option<String> {
                Some(format!("\"{}\"", self.word()))
            }
        }
    };
}
