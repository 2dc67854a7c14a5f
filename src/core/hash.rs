//! A hash that is the same in every process and version: FNV-1a, 64 bits
//! (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>).

/// The hash of several texts, in order. Their borders count: `["ab", "c"]` differs from `["a", "bc"]`.
pub fn fnv1a<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = texts.into_iter().flat_map(|text| text.bytes().chain(std::iter::once(0xff)));
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_published_function_and_minds_borders() {
        // FNV-1a of "a" followed by 0xff, by the definition.
        let mut expected: u64 = 0xcbf29ce484222325;
        for byte in [b'a', 0xff] {
            expected = (expected ^ u64::from(byte)).wrapping_mul(0x100000001b3);
        }
        assert_eq!(fnv1a(["a"]), expected);
        assert_ne!(fnv1a(["ab", "c"]), fnv1a(["a", "bc"]));
    }
}
