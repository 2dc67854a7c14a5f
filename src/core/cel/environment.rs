//! The environment of the `cel` crate that expressions are parsed and evaluated in, and what is asked of its
//! functions directly.

use std::sync::{Arc, LazyLock};

use cel::common::types::{CelNull, CelString};
use cel::common::value::{CowVal, Val};
use cel::{Env, extensions};
use jiff::Timestamp;

use super::charges;

#[expect(
    clippy::expect_used,
    reason = "fails only for names that are taken, whatever the input; a test builds it"
)]
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut env = Env::stdlib();
    env.add_extension(extensions::strings)
        .and_then(|()| env.add_extension(extensions::math))
        .and_then(|()| env.add_extension(extensions::lists))
        .and_then(|()| env.add_extension(extensions::encoders))
        .and_then(|()| env.add_extension(charges::extension))
        .expect("the names of the CEL libraries do not collide");
    Arc::new(env)
});

/// The environment all expressions are parsed and evaluated in.
pub(super) fn env() -> &'static Arc<Env> {
    &ENV
}

/// Whether `pattern` is a regular expression as `matches` takes it.
pub(super) fn is_pattern(pattern: &str) -> bool {
    let args = vec![CowVal::owned(CelString::from("")), CowVal::owned(CelString::from(pattern))];
    env().find_overload("matches", &args).is_some_and(|matches| matches(args).is_ok())
}

/// `now` as a CEL timestamp, made the way expressions make them; null if CEL has no such time.
pub(super) fn timestamp(now: Timestamp) -> Box<dyn Val> {
    let args = vec![CowVal::owned(CelString::from(now.to_string()))];
    let made = env().find_overload("timestamp", &args).and_then(|timestamp| timestamp(args).ok());
    made.map_or_else(|| Box::new(CelNull) as Box<dyn Val>, CowVal::into_owned)
}
