//! Enums whose variants are stored and shown as fixed words.
//!
//! One list gives the enum, the list of all variants, and their words, so that a new variant cannot be missing
//! in any of them.

macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
        }

        impl $name {
            /// All variants, in the order of their list.
            pub const ALL: [$name; [$($word),+].len()] = [$($name::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $($name::$variant => $word,)+
                }
            }

            /// The variant with this word.
            pub fn parse(word: &str) -> Option<$name> {
                $name::ALL.into_iter().find(|known| known.as_str() == word)
            }
        }
    };
}

pub(super) use words;
