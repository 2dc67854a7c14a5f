//! Profiles in the form that `go tool pprof` and others read: the message `perftools.profiles.Profile`, compressed.
//!
//! Functions are named here, because who reads the profile rarely has this binary. Of the message only what that takes
//! is written, by hand: eight kinds of fields do not need a compiler of protocols.

use std::collections::HashMap;
use std::ffi::c_void;
use std::io::Write;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Name and unit of what is counted, such as `("cpu", "nanoseconds")`.
pub type Kind = (&'static str, &'static str);

/// What was measured.
#[derive(Debug)]
pub struct Profile {
    /// What each of the values of a sample is.
    pub kinds: [Kind; 2],
    /// What is between two samples.
    pub period: (Kind, i64),
    /// For how long; zero for a state.
    pub duration: Duration,
    /// What was measured where.
    pub samples: Vec<Sample>,
    /// Frames that are not shown, nor what they call: a regular expression for names of functions.
    pub hidden: Option<&'static str>,
    /// For people.
    pub comment: Option<String>,
}

/// One measurement.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sample {
    /// Addresses in the code, the innermost first.
    pub stack: Vec<usize>,
    /// One for each of the kinds.
    pub values: [i64; 2],
    /// Name of the thread.
    pub thread: Option<String>,
}

impl Profile {
    /// Names the functions and encodes; may take a second.
    ///
    /// # Errors
    /// None that can be met: writing to memory does not fail.
    pub fn encode(&self) -> std::io::Result<Vec<u8>> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&self.message())?;
        // The names of all functions are megabytes, needed once.
        backtrace::clear_symbol_cache();
        gzip.finish()
    }

    fn message(&self) -> Vec<u8> {
        let mut out = Message::default();
        let mut names = Names::default();
        for kind in self.kinds {
            out.message(1, &names.kind(kind));
        }
        for sample in &self.samples {
            let mut message = Message::default();
            message.packed(1, sample.stack.iter().map(|address| names.location(*address)));
            message.packed(2, sample.values.iter().map(|value| value.cast_unsigned()));
            if let Some(thread) = &sample.thread {
                let mut label = Message::default();
                label.number(1, names.string("thread"));
                label.number(2, names.string(thread));
                message.message(3, &label);
            }
            out.message(2, &message);
        }
        if let Some(hidden) = self.hidden {
            out.number(7, names.string(hidden));
        }
        let (kind, period) = self.period;
        out.message(11, &names.kind(kind));
        out.number(12, period.cast_unsigned());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        out.number(9, nanoseconds(now));
        out.number(10, nanoseconds(self.duration));
        if let Some(comment) = &self.comment {
            out.packed(13, [names.string(comment)]);
        }
        out.0.extend(names.out.0);
        // The first string has to be the empty one.
        out.bytes(6, b"");
        names.in_order.iter().for_each(|text| out.bytes(6, text.as_bytes()));
        out.0
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What samples refer to by number, numbered as it comes up.
#[derive(Default)]
struct Names {
    strings: HashMap<String, u64>,
    in_order: Vec<String>,
    functions: HashMap<String, u64>,
    locations: HashMap<usize, u64>,
    /// The fields `location` and `function` of the profile.
    out: Message,
}

impl Names {
    fn string(&mut self, text: &str) -> u64 {
        if let Some(known) = self.strings.get(text) {
            return *known;
        }
        self.in_order.push(text.to_owned());
        let index = self.in_order.len() as u64;
        self.strings.insert(text.to_owned(), index);
        index
    }

    fn kind(&mut self, (name, unit): Kind) -> Message {
        let mut message = Message::default();
        message.number(1, self.string(name));
        message.number(2, self.string(unit));
        message
    }

    fn location(&mut self, address: usize) -> u64 {
        if let Some(known) = self.locations.get(&address) {
            return *known;
        }
        let id = self.locations.len() as u64 + 1;
        self.locations.insert(address, id);
        let mut message = Message::default();
        message.number(1, id);
        message.number(3, address as u64);
        // Several where the compiler put one function into another, the innermost first.
        backtrace::resolve(address as *mut c_void, |symbol| {
            let Some(name) = symbol.name() else {
                return;
            };
            let mut line = Message::default();
            line.number(1, self.function(&format!("{name:#}")));
            line.number(2, u64::from(symbol.lineno().unwrap_or_default()));
            message.message(4, &line);
        });
        self.out.message(4, &message);
        id
    }

    fn function(&mut self, name: &str) -> u64 {
        if let Some(known) = self.functions.get(name) {
            return *known;
        }
        let id = self.functions.len() as u64 + 1;
        self.functions.insert(name.to_owned(), id);
        let mut message = Message::default();
        message.number(1, id);
        message.number(2, self.string(name));
        self.out.message(5, &message);
        id
    }
}

/// A message of the protocol buffers, as far as it is written.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn message(&mut self, field: u64, message: &Message) {
        self.bytes(field, &message.0);
    }

    fn packed(&mut self, field: u64, values: impl IntoIterator<Item = u64>) {
        let mut packed = Message::default();
        values.into_iter().for_each(|value| packed.varint(value));
        self.message(field, &packed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn numbers_are_written_seven_bits_at_a_time() {
        let mut message = Message::default();
        message.number(1, 150);
        message.bytes(2, b"testing");
        // The examples of the specification of the encoding.
        assert_eq!(message.0, b"\x08\x96\x01\x12\x07testing");
    }

    #[test]
    fn functions_have_names_and_addresses_are_told_once() {
        let address = nanoseconds as *const () as usize + 1;
        let sample = |thread: &str| Sample {
            stack: vec![address, address],
            values: [1, 10],
            thread: Some(thread.to_owned()),
        };
        let profile = Profile {
            kinds: [("samples", "count"), ("cpu", "nanoseconds")],
            period: (("cpu", "nanoseconds"), 10),
            duration: Duration::from_secs(1),
            samples: vec![sample("alpha"), sample("omega")],
            hidden: Some("__rust_alloc"),
            comment: Some("a comment".to_owned()),
        };
        let encoded = profile.encode().expect("bytes");
        let mut message = Vec::new();
        flate2::read::GzDecoder::new(&*encoded).read_to_end(&mut message).expect("gzip");
        let count = |text: &str| message.windows(text.len()).filter(|part| *part == text.as_bytes()).count();
        assert_eq!(count("polywatch::debug::pprof::nanoseconds"), 1);
        for text in ["samples", "thread", "alpha", "omega", "__rust_alloc", "a comment"] {
            assert_eq!(count(text), 1, "{text}");
        }
    }
}
