//! JSON patches.

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::Value;
use super::{Function, Library, Overload};

pub(super) const LIBRARY: Library = Library {
    name: "jsonpatch",
    doc: "Paths of JSON patches. A kube-apiserver has it in MutatingAdmissionPolicies only.",
    upstream: "https://pkg.go.dev/k8s.io/apiserver/pkg/cel/library#JSONPatch",
    in_admission: false,
    types: &[],
    functions: &[Function {
        name: "jsonpatch.escapeKey",
        doc: "A key as part of a JSON pointer: `~` and `/` are escaped.",
        examples: &["jsonpatch.escapeKey('example.com/a~b') == 'example.com~1a~0b'"],
        overloads: &[Overload::new(
            "jsonpatch.escapeKey(string) -> string",
            Cost::Read { arg: 0, times: 1 },
            escape_key,
        )],
    }],
};

fn escape_key<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(key)] = args else { return Err(Fault::no_such_overload("jsonpatch.escapeKey", args)) };
    Ok(Value::text(key.replace('~', "~0").replace('/', "~1")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_escaped_is_not_escaped_again() {
        let escaped = escape_key(&[Value::text("/~1~0/")], &mut Meter::new(0));
        assert!(matches!(escaped, Ok(Value::Str(text)) if &*text == "~1~01~00~1"));
    }
}
