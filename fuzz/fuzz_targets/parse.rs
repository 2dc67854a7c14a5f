//! Any bytes as an expression of any type: an error in words, or a program.
#![no_main]

use libfuzzer_sys::fuzz_target;
use polywatch_fuzz::compiled;
use polywatch_fuzz::core::cel::Want;

fuzz_target!(|data: &[u8]| {
    if let Ok(source) = std::str::from_utf8(data) {
        compiled(source, Want::Any);
    }
});
