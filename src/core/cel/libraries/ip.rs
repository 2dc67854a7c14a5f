//! Addresses: IPv4 and IPv6, without zones and without IPv4 addresses written as IPv6 ones.

use std::any::Any;
// Addresses only: `core` has no sockets.
use core::net::{IpAddr, Ipv4Addr};

use super::super::cost::{Cost, Meter};
use super::super::fault::Fault;
use super::super::value::{Opaque, Value};
use super::{Function, Library, Overload};

const READ: Cost = Cost::Read { arg: 0, times: 1 };

pub(super) const LIBRARY: Library = Library {
    name: "ip",
    doc: "IPv4 and IPv6 addresses. IPv6 addresses that hold an IPv4 one (`::ffff:1.2.3.4`) or a zone \
          (`fe80::1%eth0`) and IPv4 addresses with leading zeros are none.",
    upstream: "https://pkg.go.dev/k8s.io/apiserver/pkg/cel/library#IP",
    in_admission: true,
    types: &[TYPE],
    functions: &[
        Function {
            name: "ip",
            doc: "Reads an address. Fails when the text is none.",
            examples: &["ip('127.0.0.1').isLoopback()", "ip('::1') == ip('0:0::1')"],
            overloads: &[Overload::new("ip(string) -> IP", READ, ip)],
        },
        Function {
            name: "isIP",
            doc: "Whether a text is an address.",
            examples: &["isIP('127.0.0.1')", "!isIP('127.0.0.256')", "!isIP(':::1')"],
            overloads: &[Overload::new("isIP(string) -> bool", READ, is_ip)],
        },
        Function {
            name: "ip.isCanonical",
            doc: "Whether an address is written the one canonical way. Fails when the text is no address.",
            examples: &["ip.isCanonical('2001:db8::abcd')", "!ip.isCanonical('2001:DB8::ABCD')"],
            overloads: &[Overload::new(
                "ip.isCanonical(string) -> bool",
                Cost::Read { arg: 0, times: 2 },
                is_canonical,
            )],
        },
        Function {
            name: "family",
            doc: "4 or 6.",
            examples: &["ip('127.0.0.1').family() == 4", "ip('::1').family() == 6"],
            overloads: &[Overload::new("IP.family() -> int", Cost::Fixed(1), family)],
        },
        Function {
            name: "isUnspecified",
            doc: "Whether an address is 0.0.0.0 or ::.",
            examples: &["ip('::').isUnspecified()", "!ip('127.0.0.1').isUnspecified()"],
            overloads: &[Overload::new("IP.isUnspecified() -> bool", Cost::Fixed(1), is_unspecified)],
        },
        Function {
            name: "isLoopback",
            doc: "Whether an address is in 127.0.0.0/8 or is ::1.",
            examples: &["ip('127.0.0.1').isLoopback()", "!ip('2001:db8::abcd').isLoopback()"],
            overloads: &[Overload::new("IP.isLoopback() -> bool", Cost::Fixed(1), is_loopback)],
        },
        Function {
            name: "isLinkLocalMulticast",
            doc: "Whether an address is in 224.0.0.0/24 or is an IPv6 multicast address of link-local scope, such as \
                  those in ff02::/16.",
            examples: &["ip('ff02::1').isLinkLocalMulticast()", "!ip('224.0.1.1').isLinkLocalMulticast()"],
            overloads: &[Overload::new(
                "IP.isLinkLocalMulticast() -> bool",
                Cost::Fixed(1),
                is_link_local_multicast,
            )],
        },
        Function {
            name: "isLinkLocalUnicast",
            doc: "Whether an address is in 169.254.0.0/16 or fe80::/10.",
            examples: &["ip('169.254.169.254').isLinkLocalUnicast()", "!ip('fd80::1').isLinkLocalUnicast()"],
            overloads: &[Overload::new(
                "IP.isLinkLocalUnicast() -> bool",
                Cost::Fixed(1),
                is_link_local_unicast,
            )],
        },
        Function {
            name: "isGlobalUnicast",
            doc: "Whether an address is none of: unspecified, loopback, multicast, link-local unicast, \
                  255.255.255.255. Private addresses are global in this sense.",
            examples: &["ip('192.168.0.1').isGlobalUnicast()", "!ip('ff00::1').isGlobalUnicast()"],
            overloads: &[Overload::new("IP.isGlobalUnicast() -> bool", Cost::Fixed(1), is_global_unicast)],
        },
        Function {
            name: "string",
            doc: "The address as text, the canonical way.",
            examples: &["string(ip('2001:DB8:0::1')) == '2001:db8::1'"],
            overloads: &[Overload::new("string(IP) -> string", Cost::Fixed(1), string)],
        },
    ],
};

const TYPE: &str = "net.IP";

/// An address as a value.
#[derive(Debug)]
pub(super) struct Ip(pub(super) IpAddr);

impl Opaque for Ip {
    fn type_name(&self) -> &'static str {
        TYPE
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref::<Self>().is_some_and(|other| self.0 == other.0)
    }
}

/// Reads an address; None when it is none.
pub(super) fn parse(text: &str) -> Option<IpAddr> {
    text.parse().ok().filter(|address| !matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()))
}

/// Why a text is no address.
pub(super) fn not_an_address() -> Fault {
    Fault::new(
        "the text is not an IP address: '192.0.2.1' or '2001:db8::1' is one, without zone or leading zeros",
    )
}

fn ip<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("ip", args)) };
    Ok(Value::opaque(Ip(parse(text).ok_or_else(not_an_address)?)))
}

fn is_ip<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("isIP", args)) };
    Ok(parse(text).is_some().into())
}

fn is_canonical<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let [Value::Str(text)] = args else { return Err(Fault::no_such_overload("ip.isCanonical", args)) };
    let address = parse(text).ok_or_else(not_an_address)?;
    Ok((address.to_string() == **text).into())
}

fn family<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(if address("family", args)?.is_ipv4() { 4 } else { 6 }.into())
}

fn is_unspecified<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(address("isUnspecified", args)?.is_unspecified().into())
}

fn is_loopback<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(address("isLoopback", args)?.is_loopback().into())
}

fn is_link_local_multicast<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(match address("isLinkLocalMulticast", args)? {
        IpAddr::V4(v4) => v4.octets().starts_with(&[224, 0, 0]),
        // The flags, in the bits between, do not count.
        IpAddr::V6(v6) => v6.segments()[0] & 0xff0f == 0xff02,
    }
    .into())
}

fn is_link_local_unicast<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(link_local(address("isLinkLocalUnicast", args)?).into())
}

fn is_global_unicast<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    let address = address("isGlobalUnicast", args)?;
    let other = address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || link_local(address)
        || address == Ipv4Addr::BROADCAST;
    Ok((!other).into())
}

fn string<'a>(args: &[Value<'a>], _: &mut Meter) -> Result<Value<'a>, Fault> {
    Ok(Value::text(address("string", args)?.to_string()))
}

fn link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

fn address(name: &str, args: &[Value<'_>]) -> Result<IpAddr, Fault> {
    match args {
        [address] => address.downcast::<Ip>().map(|ip| ip.0),
        _ => None,
    }
    .ok_or_else(|| Fault::no_such_overload(name, args))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{call, charged, shown, text};
    use super::*;

    #[test]
    #[rustfmt::skip]
    fn texts_are_read_as_kubernetes_reads_them() {
        // The address as text, and what it is: 6 for IPv6, u unspecified, l loopback, m link-local multicast,
        // s link-local unicast, g global unicast.
        let table: &[(&str, Option<(&str, &str)>)] = &[
            ("127.0.0.1", Some(("127.0.0.1", "l"))),
            ("127.255.0.1", Some(("127.255.0.1", "l"))),
            ("0.0.0.0", Some(("0.0.0.0", "u"))),
            ("255.255.255.255", Some(("255.255.255.255", ""))),
            ("1.2.3", None),
            ("1.2.3.4.5", None),
            ("1.2.3.256", None),
            ("01.2.3.4", None),
            ("1.2.3.4 ", None),
            ("1.2.3.+4", None),
            ("1e1.2.3.4", None),
            ("192.168.0.1", Some(("192.168.0.1", "g"))),
            ("169.254.169.254", Some(("169.254.169.254", "s"))),
            ("169.255.0.1", Some(("169.255.0.1", "g"))),
            ("224.0.0.255", Some(("224.0.0.255", "m"))),
            ("224.0.1.0", Some(("224.0.1.0", ""))),
            ("239.0.0.1", Some(("239.0.0.1", ""))),
            ("240.0.0.1", Some(("240.0.0.1", "g"))),
            ("::", Some(("::", "6u"))),
            ("::1", Some(("::1", "6l"))),
            ("::2", Some(("::2", "6g"))),
            (":::1", None),
            (":1", None),
            ("1:", None),
            ("1::2::3", None),
            ("1:2:3:4:5:6:7:8", Some(("1:2:3:4:5:6:7:8", "6g"))),
            ("1:2:3:4:5:6:7:8:9", None),
            ("1:2:3:4:5:6:7::", Some(("1:2:3:4:5:6:7:0", "6g"))),
            ("::2:3:4:5:6:7:8", Some(("0:2:3:4:5:6:7:8", "6g"))),
            ("1:2:3:4:5:6:7::8", None),
            ("00001::", None),
            ("10000::", None),
            ("g::", None),
            ("2001:DB8::ABCD", Some(("2001:db8::abcd", "6g"))),
            ("2001:db8::0:0:0:abcd", Some(("2001:db8::abcd", "6g"))),
            ("2001:db8:0:0:1:0:0:1", Some(("2001:db8::1:0:0:1", "6g"))),
            ("2001:0:0:1::", Some(("2001:0:0:1::", "6g"))),
            ("fe80::1", Some(("fe80::1", "6s"))),
            ("fe80::1%eth0", None),
            ("febf::1", Some(("febf::1", "6s"))),
            ("fec0::1", Some(("fec0::1", "6g"))),
            ("fd80::1", Some(("fd80::1", "6g"))),
            ("ff02::1", Some(("ff02::1", "6m"))),
            ("ff12::1", Some(("ff12::1", "6m"))),
            ("ff05::1", Some(("ff05::1", "6"))),
            ("ff00::1", Some(("ff00::1", "6"))),
            ("::ffff:1.2.3.4", None),
            ("::ffff:0:0", None),
            ("0:0:0:0:0:ffff:102:304", None),
            ("::1.2.3.4", Some(("::102:304", "6g"))),
            ("64:ff9b::1.2.3.4", Some(("64:ff9b::102:304", "6g"))),
            ("::01.2.3.4", None),
            ("::1.2.3", None),
            ("", None),
            ("x", None),
        ];
        let properties = [
            ('u', "isUnspecified"), ('l', "isLoopback"), ('m', "isLinkLocalMulticast"), ('s', "isLinkLocalUnicast"),
            ('g', "isGlobalUnicast"),
        ];
        for (written, wanted) in table {
            assert_eq!(shown(&call("isIP", &[text(written)])), wanted.is_some().to_string(), "{written}");
            let address = call("ip", &[text(written)]).ok();
            let seen = address.map(|address| {
                let args = [address];
                let mut flags = String::new();
                if shown(&call("family", &args)) == "6" {
                    flags.push('6');
                }
                flags.extend(properties.iter().filter(|(_, name)| shown(&call(name, &args)) == "true").map(|(c, _)| c));
                (shown(&call("string", &args)), flags)
            });
            let wanted = wanted.map(|(canonical, flags)| (canonical.to_owned(), flags.to_owned()));
            assert_eq!(seen, wanted, "{written}");
            let canonical = wanted.map_or("err".to_owned(), |(canonical, _)| (canonical == *written).to_string());
            assert_eq!(shown(&call("ip.isCanonical", &[text(written)])), canonical, "{written}");
        }
    }

    #[test]
    fn addresses_are_equal_however_they_are_written() {
        let read = |written: &str| Ip(parse(written).expect("an address"));
        assert!(read("2001:DB8::0:1").equals(&read("2001:db8::1")));
        assert!(!read("::102:304").equals(&read("1.2.3.4")));
    }

    #[test]
    fn costs_are_those_of_kubernetes() {
        assert_eq!(charged("ip", &[text("192.168.100.1")]).1, 2);
        assert_eq!(charged("isIP", &[text("1.2.3.4")]).1, 1);
        assert_eq!(charged("ip.isCanonical", &[text("1.2.3.4")]).1, 2);
    }

    #[test]
    fn faults_hold_no_values() {
        for name in ["ip", "ip.isCanonical"] {
            let fault = call(name, &[text("sesame")]).expect_err("no address");
            assert!(!format!("{fault:?}").contains("sesame"));
        }
    }
}
