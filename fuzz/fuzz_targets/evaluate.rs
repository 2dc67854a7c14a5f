//! An expression and an object, parted by a zero byte: the fields that it reads decide alone, within the budget.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polywatch_fuzz::core::cel::{Root, Want};
use polywatch_fuzz::core::paths::Paths;
use polywatch_fuzz::{compiled, decoded, evaluated};

fuzz_target!(|data: &[u8]| {
    let Some((source, json)) = std::str::from_utf8(data).ok().and_then(|text| text.split_once('\0')) else { return };
    let Some(program) = compiled(source, Want::Bool) else { return };
    let Some(whole) = decoded(json, &Paths::whole()) else { return };
    let Some(kept) = decoded(json, program.reads().of(Root::Object)) else { return };
    let (on_whole, on_kept) = (evaluated(&program, &whole), evaluated(&program, &kept));
    // What is left out can make an expression cheaper.
    if !on_whole.starts_with("too costly") && !json.contains("managedFields") {
        assert_eq!(on_whole, on_kept);
    }
});
