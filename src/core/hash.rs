//! A hash that is the same in every process and version: FNV-1a, 64 bits
//! (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>).

/// The hash of several texts, in order. Their borders count: `["ab", "c"]` differs from `["a", "bc"]`.
pub fn fnv1a<'a>(texts: impl IntoIterator<Item = &'a str>) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let bytes = texts.into_iter().flat_map(|text| text.bytes().chain(std::iter::once(0xff)));
    bytes.fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// The same hash with every bit depending on all of them: the upper bits of FNV-1a hardly know the last bytes. The
/// finaliser of MurmurHash3 (<https://github.com/aappleby/smhasher/wiki/MurmurHash3>), which loses nothing.
pub fn mixed(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
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

    /// Names that differ in their last character only, as those of Pods of one Deployment do.
    #[test]
    fn mixed_hashes_of_similar_texts_are_spread_by_their_first_bits() {
        let names: Vec<String> = (0..4096).map(|n| format!("web-{n:04}")).collect();
        let mut counts = [0_usize; 16];
        for name in &names {
            counts[(mixed(fnv1a([name.as_str()])) >> 60) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (190..330).contains(count)), "{counts:?}");
    }
}
