//! Base64.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::Value;
use super::{Function, Library, Overload};

pub(super) const LIBRARY: Library = Library {
    name: "encoders",
    doc: "Base64, as Secrets and webhooks have their data.",
    upstream: "https://pkg.go.dev/github.com/google/cel-go/ext#Encoders",
    in_admission: false,
    types: &[],
    functions: &[
        Function {
            name: "base64.decode",
            doc: "The bytes of a text in base64. The `=` at its end may be missing; line breaks are skipped.",
            examples: &["base64.decode('aGVsbG8=') == b'hello'", "base64.decode('aGVsbG8') == b'hello'"],
            overloads: &[Overload::new(
                "base64.decode(string) -> bytes",
                Cost::Read { arg: 0, times: 1 },
                decode,
            )],
        },
        Function {
            name: "base64.encode",
            doc: "Bytes as text in base64.",
            examples: &["base64.encode(b'hello') == 'aGVsbG8='"],
            overloads: &[Overload::new(
                "base64.encode(bytes) -> string",
                Cost::Read { arg: 0, times: 2 },
                encode,
            )],
        },
    ],
};

/// As lenient as Go's about bits that are left over.
const PADDED: GeneralPurpose = lenient(DecodePaddingMode::RequireCanonical);
const UNPADDED: GeneralPurpose = lenient(DecodePaddingMode::RequireNone);

const fn lenient(padding: DecodePaddingMode) -> GeneralPurpose {
    let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&base64::alphabet::STANDARD, config.with_decode_padding_mode(padding))
}

fn decode<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("base64.decode", args)) };
    let broken = text.contains(['\r', '\n']);
    let text = if broken { Cow::from(text.replace(['\r', '\n'], "")) } else { Cow::from(&**text) };
    let decoded = PADDED.decode(text.as_bytes()).or_else(|_| UNPADDED.decode(text.as_bytes()));
    decoded.map(|bytes| Value::Bytes(bytes.into())).map_err(|_| Fault::new("illegal base64 data"))
}

fn encode<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Bytes(bytes)] = args else { return Err(Fault::no_such_overload("base64.encode", args)) };
    Ok(Value::text(STANDARD.encode(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(text: &str) -> Option<Vec<u8>> {
        match decode(&[Value::text(text)], &mut Meter::new(0)) {
            Ok(Value::Bytes(bytes)) => Some(bytes.to_vec()),
            _ => None,
        }
    }

    // What cel-go 0.29.2 says.
    #[test]
    fn base64_is_read_as_go_reads_it() {
        for text in ["aGVsbG8=", "aGVsbG8", "aGVs\nbG8=", "\r\naGVsbG9="] {
            assert_eq!(decoded(text).as_deref(), Some(&b"hello"[..]), "{text}");
        }
        assert_eq!(decoded("AB"), Some(vec![0]));
        assert_eq!(decoded(""), Some(vec![]));
        for wrong in ["aGVsbG8==", "!", "_-==", "A", "A=", "AA=A", "AA=", "aGVs bG8="] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }
}
