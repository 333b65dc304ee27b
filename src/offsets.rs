//! Where the fields of a struct lie, as data: what the description of the heap's layout
//! (`report::layout`) is made of.
//!
//! A struct that is read from outside has an [`offsets!`] beside it, which the compiler fills in: no number is
//! written twice, so none can be wrong.

use core::mem::offset_of;

/// Where a field lies in its struct, and how many bytes it has.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Bytes from the start of the struct.
    pub offset: u16,
    /// Bytes of the field.
    pub bytes: u16,
}

/// The number of bytes of the field that `of` leads to.
pub(crate) const fn bytes_of_field<Struct, Field>(_of: fn(&Struct) -> &Field) -> usize {
    size_of::<Field>()
}

/// Declares a struct of [`Field`]s, one for each named field of another struct, and its value `HERE`.
macro_rules! offsets {
    ($(#[$doc:meta])* $name:ident of $of:ty { $($field:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            /// Bytes of the whole struct.
            pub whole: u32,
            $(#[doc = concat!("The field `", stringify!($field), "`.")] pub $field: $crate::offsets::Field,)+
        }

        impl $name {
            /// As this build has it.
            pub const HERE: $name = $name {
                whole: size_of::<$of>() as u32,
                $($field: $crate::offsets::field(
                    core::mem::offset_of!($of, $field),
                    $crate::offsets::bytes_of_field(|whole: &$of| &whole.$field),
                ),)+
            };
        }
    };
}

pub(crate) use offsets;

/// A [`Field`], from what the compiler says of it.
pub(crate) const fn field(offset: usize, bytes: usize) -> Field {
    assert!(offset <= u16::MAX as usize && bytes <= u16::MAX as usize);
    Field { offset: offset as u16, bytes: bytes as u16 }
}

const _: () = assert!(size_of::<Field>() == 4 && offset_of!(Field, bytes) == 2);

#[cfg(test)]
mod tests {
    use super::Field;

    #[repr(C)]
    struct Record {
        first: u8,
        second: u32,
        third: Option<&'static u8>,
    }

    offsets! {
        /// See [`Record`].
        RecordOffsets of Record { third, second, first }
    }

    #[test]
    fn fields_are_where_the_compiler_puts_them() {
        assert_eq!(RecordOffsets::HERE.whole, 16);
        assert_eq!(RecordOffsets::HERE.first, Field { offset: 0, bytes: 1 });
        assert_eq!(RecordOffsets::HERE.second, Field { offset: 4, bytes: 4 });
        assert_eq!(RecordOffsets::HERE.third, Field { offset: 8, bytes: 8 });
        let record = Record { first: 1, second: 2, third: None };
        assert_eq!((record.first, record.second, record.third), (1, 2, None));
    }
}
