//! Networks: an address and how many of its bits name the network, as in `10.0.0.0/8`.

use core::net::IpAddr;
use std::any::Any;

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::{Opaque, Value};
use super::ip::{self, Ip};
use super::{Function, Library, Overload};

const READ: Cost = Cost::Read { arg: 0, times: 1 };
/// Comparing as much as the prefix takes.
const PREFIX: Cost = Cost::Read { arg: 0, times: 2 };
/// Reading the text; the prefix is charged when it is compared.
const TEXT: Cost = Cost::Read { arg: 1, times: 1 };

pub(super) const LIBRARY: Library = Library {
    name: "cidr",
    doc: "Networks in CIDR notation, such as `10.0.0.0/8` or `2001:db8::/32`.",
    upstream: "https://pkg.go.dev/k8s.io/apiserver/pkg/cel/library#CIDR",
    in_admission: true,
    types: &[TYPE],
    functions: &[
        Function {
            name: "cidr",
            doc: "Reads a network. Fails when the text is none. Bits after the prefix may be set: masked() clears them.",
            examples: &["cidr('192.168.0.0/16').prefixLength() == 16", "cidr('::1/128').ip() == ip('::1')"],
            overloads: &[Overload::new("cidr(string) -> CIDR", READ, cidr)],
        },
        Function {
            name: "isCIDR",
            doc: "Whether a text is a network.",
            examples: &["isCIDR('192.168.0.0/16')", "!isCIDR('192.168.0.0/33')", "!isCIDR('192.168.0.0')"],
            overloads: &[Overload::new("isCIDR(string) -> bool", READ, is_cidr)],
        },
        Function {
            name: "containsIP",
            doc: "Whether an address, or the address that a text is, is in the network. Fails when the text is none.",
            examples: &[
                "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1'))",
                "!cidr('192.168.0.0/24').containsIP('192.168.1.1')",
            ],
            overloads: &[
                Overload::new("CIDR.containsIP(string) -> bool", TEXT, contains_ip),
                Overload::new("CIDR.containsIP(IP) -> bool", PREFIX, contains_ip),
            ],
        },
        Function {
            name: "containsCIDR",
            doc: "Whether all addresses of another network, or of the one that a text is, are in the network. Fails \
                  when the text is none.",
            examples: &[
                "cidr('192.168.0.0/16').containsCIDR(cidr('192.168.10.0/24'))",
                "!cidr('192.168.1.0/24').containsCIDR('192.168.0.0/16')",
            ],
            overloads: &[
                Overload::new("CIDR.containsCIDR(string) -> bool", TEXT, contains_cidr),
                Overload::new("CIDR.containsCIDR(CIDR) -> bool", PREFIX, contains_cidr),
            ],
        },
        Function {
            name: "ip",
            doc: "The address of the network, as it was written.",
            examples: &["cidr('192.168.0.1/24').ip() == ip('192.168.0.1')"],
            overloads: &[Overload::new("CIDR.ip() -> IP", Cost::Fixed(1), address)],
        },
        Function {
            name: "masked",
            doc: "The network with the bits after its prefix cleared.",
            examples: &["cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24')"],
            overloads: &[Overload::new("CIDR.masked() -> CIDR", Cost::Fixed(1), masked)],
        },
        Function {
            name: "prefixLength",
            doc: "How many bits name the network.",
            examples: &["cidr('192.168.0.0/24').prefixLength() == 24"],
            overloads: &[Overload::new("CIDR.prefixLength() -> int", Cost::Fixed(1), prefix_length)],
        },
        Function {
            name: "string",
            doc: "The network as text.",
            examples: &["string(cidr('2001:DB8::/32')) == '2001:db8::/32'"],
            overloads: &[Overload::new("string(CIDR) -> string", Cost::Fixed(1), string)],
        },
    ],
};

const TYPE: &str = "net.CIDR";

/// A network as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cidr {
    address: IpAddr,
    /// At most as many as the address has bits.
    prefix: u8,
}

impl Opaque for Cidr {
    fn type_name(&self) -> &'static str {
        TYPE
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref::<Self>() == Some(self)
    }

    fn size(&self) -> u64 {
        u64::from(self.prefix).div_ceil(8)
    }
}

impl Cidr {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.rsplit_once('/')?;
        let address = ip::parse(address)?;
        let canonical = prefix == "0" || prefix.starts_with(|first: char| ('1'..='9').contains(&first));
        let prefix = prefix.parse().ok().filter(|prefix| canonical && *prefix <= bits(address))?;
        Some(Self { address, prefix })
    }

    /// The first address with the same first `prefix` bits.
    fn network(address: IpAddr, prefix: u8) -> IpAddr {
        match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4((v4.to_bits() & mask).into())
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6((v6.to_bits() & mask).into())
            }
        }
    }

    fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Self::network(self.address, self.prefix) == Self::network(address, self.prefix)
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn not_a_network() -> Fault {
    Fault::new("the text is not a network: '10.0.0.0/8' or '2001:db8::/32' is one")
}

fn cidr<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("cidr", args)) };
    Ok(Value::opaque(Cidr::parse(text).ok_or_else(not_a_network)?))
}

fn is_cidr<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("isCIDR", args)) };
    Ok(Cidr::parse(text).is_some().into())
}

fn contains_ip<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [this, other] = args else { return Err(Fault::no_such_overload("containsIP", args)) };
    let this = network("containsIP", args, this)?;
    let other = match other {
        Value::Str(text) => {
            meter.charge(PREFIX.of(args))?;
            ip::parse(text).ok_or_else(ip::not_an_address)?
        }
        other => other.downcast::<Ip>().ok_or_else(|| Fault::no_such_overload("containsIP", args))?.0,
    };
    Ok(this.contains(other).into())
}

fn contains_cidr<'a>(args: &[Value<'a>], meter: &mut Meter) -> Result<Value<'a>, Fault> {
    let [this, other] = args else { return Err(Fault::no_such_overload("containsCIDR", args)) };
    let this = network("containsCIDR", args, this)?;
    meter.charge(READ.of(args) + 1)?;
    let other = match other {
        Value::Str(text) => {
            meter.charge(PREFIX.of(args))?;
            Cidr::parse(text).ok_or_else(not_a_network)?
        }
        other => network("containsCIDR", args, other)?,
    };
    Ok((this.prefix <= other.prefix && this.contains(other.address)).into())
}

fn address<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(Value::opaque(Ip(only("ip", args)?.address)))
}

fn masked<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let Cidr { address, prefix } = only("masked", args)?;
    Ok(Value::opaque(Cidr { address: Cidr::network(address, prefix), prefix }))
}

fn prefix_length<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(i64::from(only("prefixLength", args)?.prefix).into())
}

fn string<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let Cidr { address, prefix } = only("string", args)?;
    Ok(Value::text(format!("{address}/{prefix}")))
}

fn only(name: &str, args: &[Value<'_>]) -> Result<Cidr, Fault> {
    match args {
        [this] => network(name, args, this),
        _ => Err(Fault::no_such_overload(name, args)),
    }
}

fn network(name: &str, args: &[Value<'_>], value: &Value<'_>) -> Result<Cidr, Fault> {
    value.downcast::<Cidr>().copied().ok_or_else(|| Fault::no_such_overload(name, args))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, charged, shown, text};
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn texts_are_read_as_kubernetes_reads_them() {
        // The network as text, its address, the masked network and the length of the prefix.
        let table: &[(&str, Option<[&str; 4]>)] = &[
            ("10.0.0.0/8", Some(["10.0.0.0/8", "10.0.0.0", "10.0.0.0/8", "8"])),
            ("10.1.2.3/8", Some(["10.1.2.3/8", "10.1.2.3", "10.0.0.0/8", "8"])),
            ("10.1.2.3/31", Some(["10.1.2.3/31", "10.1.2.3", "10.1.2.2/31", "31"])),
            ("10.1.2.3/32", Some(["10.1.2.3/32", "10.1.2.3", "10.1.2.3/32", "32"])),
            ("10.1.2.3/0", Some(["10.1.2.3/0", "10.1.2.3", "0.0.0.0/0", "0"])),
            ("10.1.2.3/33", None),
            ("10.1.2.3", None),
            ("10.1.2.3/", None),
            ("/8", None),
            ("10.1.2.3/08", None),
            ("10.1.2.3/00", None),
            ("10.1.2.3/+8", None),
            ("10.1.2.3/-1", None),
            ("10.1.2.3/8 ", None),
            ("10.1.2.3//8", None),
            ("10.1.2/8", None),
            ("10.1.2.3/1e1", None),
            ("10.1.2.3/255.0.0.0", None),
            ("2001:DB8::1/32", Some(["2001:db8::1/32", "2001:db8::1", "2001:db8::/32", "32"])),
            ("2001:db8::1/128", Some(["2001:db8::1/128", "2001:db8::1", "2001:db8::1/128", "128"])),
            ("2001:db8::1/129", None),
            ("2001:db8::1/0", Some(["2001:db8::1/0", "2001:db8::1", "::/0", "0"])),
            ("2001:db8:ffff::/33", Some(["2001:db8:ffff::/33", "2001:db8:ffff::", "2001:db8:8000::/33", "33"])),
            ("fe80::1%eth0/64", None),
            ("::ffff:1.2.3.4/120", None),
            ("::ffff:0:0/96", None),
            ("::/96", Some(["::/96", "::", "::/96", "96"])),
            ("1.2.3.4/256", None),
            ("1.2.3.4/4294967304", None),
        ];
        for (written, wanted) in table {
            assert_eq!(shown(&call("isCIDR", &[text(written)])), wanted.is_some().to_string(), "{written}");
            let seen = call("cidr", &[text(written)]).ok().map(|network| {
                let args = [network];
                let string = |value| shown(&call("string", &[value]));
                [
                    string(args[0].clone()),
                    string(call("ip", &args).expect("an address")),
                    string(call("masked", &args).expect("a network")),
                    shown(&call("prefixLength", &args)),
                ]
            });
            assert_eq!(seen, wanted.map(|wanted| wanted.map(str::to_owned)), "{written}");
        }
    }

    #[test]
    #[rustfmt::skip]
    fn networks_contain_what_kubernetes_says() {
        let table: &[(&str, &str, bool)] = &[
            ("10.0.0.0/8", "10.255.255.255", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "10.0.0.0/8", true),
            ("10.0.0.0/8", "10.1.0.0/16", true),
            ("10.0.0.0/8", "0.0.0.0/0", false),
            ("10.0.0.0/8", "11.0.0.0/16", false),
            ("10.0.0.0/8", "::a00:1", false),
            ("10.0.0.0/8", "2001:db8::/32", false),
            ("10.1.2.3/24", "10.1.2.200", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "1.2.3.4", false),
            ("::/0", "ffff::", true),
            ("::/0", "10.0.0.0/8", false),
            ("2001:db8::/33", "2001:db8:8000::", false),
            ("2001:db8::/33", "2001:db8:7fff::1", true),
            ("1.2.3.4/32", "1.2.3.4", true),
            ("1.2.3.4/32", "1.2.3.5", false),
            ("1.2.3.4/32", "1.2.3.4/31", false),
        ];
        for (network, other, wanted) in table {
            let this = call("cidr", &[text(network)]).expect("a network");
            let (name, read) = if other.contains('/') { ("containsCIDR", "cidr") } else { ("containsIP", "ip") };
            let other_value = call(read, &[text(other)]).expect("an address or network");
            assert_eq!(shown(&call(name, &[this.clone(), other_value])), wanted.to_string(), "{network} {other}");
            assert_eq!(shown(&call(name, &[this, text(other)])), wanted.to_string(), "{network} {other}");
        }
    }

    #[test]
    fn only_the_same_address_and_prefix_are_equal() {
        let read = |written: &str| Cidr::parse(written).expect("a network");
        assert!(read("2001:DB8::/32").equals(&read("2001:db8::/32")));
        assert!(!read("10.0.0.1/8").equals(&read("10.0.0.0/8")));
        assert!(!read("10.0.0.0/8").equals(&read("10.0.0.0/9")));
    }

    #[test]
    fn costs_are_those_of_kubernetes() {
        let network = || call("cidr", &[text("2001:db8::/128")]).expect("a network");
        let address = call("ip", &[text("2001:db8::")]).expect("an address");
        assert_eq!(charged("containsIP", &[network(), address]).1, 4);
        assert_eq!(charged("containsIP", &[network(), text("2001:db8::1")]).1, 6);
        assert_eq!(charged("containsCIDR", &[network(), network()]).1, 7);
        assert_eq!(charged("containsCIDR", &[network(), text("2001:db8::/128")]).1, 9);
        assert_eq!(charged("masked", &[network()]).1, 1);
    }

    #[test]
    fn faults_hold_no_values() {
        let network = || call("cidr", &[text("10.0.0.0/8")]).expect("a network");
        for (name, args) in [
            ("cidr", vec![text("sesame")]),
            ("containsIP", vec![network(), text("sesame")]),
            ("containsCIDR", vec![network(), text("sesame")]),
        ] {
            let fault = call(name, &args).expect_err("a fault");
            assert!(!format!("{fault:?}").contains("sesame"));
        }
    }
}
