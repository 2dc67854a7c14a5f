//! Signatures, read from the text that also documents them.

use super::super::types::Type;

/// What a function takes and returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Signature {
    /// Whether it is called on a value, as in `name.startsWith('a')`.
    pub(in super::super) member: bool,
    /// What it takes, the value it is called on first.
    pub(in super::super) args: Vec<Type>,
    /// What it returns.
    pub(in super::super) result: Type,
    /// How many of the types are open: `A`, `B`, …
    pub(in super::super) params: u32,
}

impl Signature {
    /// Reads `string.matches(string) -> bool`. None when it is not a signature of `name`.
    pub(in super::super) fn parse(name: &str, text: &str) -> Option<Self> {
        let mut reader = Reader { rest: text, params: 0 };
        let mut args = Vec::new();
        let member = !text.starts_with(&format!("{name}("));
        if member {
            args.push(reader.read_type()?);
            reader.expect(".")?;
        }
        reader.expect(name)?;
        reader.expect("(")?;
        while reader.expect(")").is_none() {
            args.push(reader.read_type()?);
            let _ = reader.expect(",");
        }
        reader.expect("->")?;
        let result = reader.read_type()?;
        reader.rest.is_empty().then_some(Self { member, args, result, params: reader.params })
    }
}

struct Reader<'t> {
    rest: &'t str,
    params: u32,
}

impl<'t> Reader<'t> {
    fn expect(&mut self, token: &str) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(token)?.trim_start();
        Some(())
    }

    fn word(&mut self) -> Option<&'t str> {
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }

    fn read_type(&mut self) -> Option<Type> {
        Some(match self.word()? {
            "dyn" => Type::Dyn,
            "null" => Type::Null,
            "bool" => Type::Bool,
            "int" => Type::Int,
            "uint" => Type::Uint,
            "double" => Type::Double,
            "string" => Type::String,
            "bytes" => Type::Bytes,
            "timestamp" => Type::Timestamp,
            "duration" => Type::Duration,
            "list" => Type::list(self.within()?),
            "optional" => Type::optional(self.within()?),
            "type" => Type::type_of(self.within()?),
            "map" => {
                self.expect("(")?;
                let key = self.read_type()?;
                self.expect(",")?;
                let value = self.read_type()?;
                self.expect(")")?;
                Type::map(key, value)
            }
            "Quantity" => Type::Opaque("kubernetes.Quantity"),
            "URL" => Type::Opaque("kubernetes.URL"),
            "Semver" => Type::Opaque("kubernetes.Semver"),
            "NamedFormat" => Type::Opaque("kubernetes.NamedFormat"),
            "IP" => Type::Opaque("net.IP"),
            "CIDR" => Type::Opaque("net.CIDR"),
            param if param.len() == 1 => {
                let n = u32::from(param.as_bytes()[0].checked_sub(b'A')?);
                self.params = self.params.max(n + 1);
                Type::Param(n)
            }
            _ => return None,
        })
    }

    fn within(&mut self) -> Option<Type> {
        self.expect("(")?;
        let inner = self.read_type()?;
        self.expect(")")?;
        Some(inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_on_values_and_calls_of_names_are_told_apart() {
        let member = Signature::parse("get", "map(string, A).get(string, list(A)) -> optional(A)");
        let a = Type::Param(0);
        assert_eq!(
            member,
            Some(Signature {
                member: true,
                args: vec![Type::map(Type::String, a.clone()), Type::String, Type::list(a.clone())],
                result: Type::optional(a),
                params: 1,
            })
        );
        let global = Signature::parse("math.abs", "math.abs(int) -> int");
        assert_eq!(
            global,
            Some(Signature { member: false, args: vec![Type::Int], result: Type::Int, params: 0 })
        );
        for wrong in ["abs(int) -> int", "math.abs(int)", "math.abs(what) -> int", "math.abs(int) -> int x"] {
            assert_eq!(Signature::parse("math.abs", wrong), None, "{wrong}");
        }
    }
}
