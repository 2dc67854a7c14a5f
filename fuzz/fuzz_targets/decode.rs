//! Any bytes as an object: an error or an object, and a part of it that is the same in both.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polywatch_fuzz::core::paths::Paths;
use polywatch_fuzz::decoded;

fuzz_target!(|data: &[u8]| {
    let Ok(json) = std::str::from_utf8(data) else { return };
    let path = ["spec", "a"];
    let whole = decoded(json, &Paths::whole());
    let part = decoded(json, &Paths::only([&path[..]]));
    // What is skipped is read less closely: a number may be too large there.
    assert!(part.is_some() || whole.is_none());
    if let (Some(whole), Some(part)) = (whole, part) {
        assert_eq!(whole.root().at(&path), part.root().at(&path));
    }
});
