//! What Kubernetes 1.37 gives for the same texts (`resource.Quantity`).

use super::super::testing::{call, charged, shown, text};
use super::*;

/// The quantity that a text is, as `asInteger` and `asApproximateFloat` have it.
type Seen = (Option<i64>, f64);

fn seen(quantity: &Value<'_>) -> Seen {
    let args = [quantity.clone()];
    let integer =
        call("asInteger", &args).ok().and_then(|v| if let Value::Int(i) = v { Some(i) } else { None });
    assert_eq!(shown(&call("isInteger", &args)), integer.is_some().to_string());
    match call("asApproximateFloat", &args) {
        Ok(Value::Double(float)) => (integer, float),
        other => panic!("{other:?}"),
    }
}

fn same(a: Seen, b: Seen) -> bool {
    a.0 == b.0 && (a.1 == b.1 || (a.1.is_nan() && b.1.is_nan()))
}

#[test]
#[rustfmt::skip]
fn texts_are_read_as_kubernetes_reads_them() {
    let table: &[(&str, Option<Seen>)] = &[
        ("0", Some((Some(0), 0.0))),
        ("1", Some((Some(1), 1.0))),
        ("+1", Some((Some(1), 1.0))),
        ("-1", Some((Some(-1), -1.0))),
        ("007", Some((Some(7), 7.0))),
        ("1.5", Some((None, 1.5))),
        ("1.", Some((Some(1), 1.0))),
        ("5.", Some((Some(5), 5.0))),
        (".5", Some((None, 0.5))),
        ("-.5", Some((None, -0.5))),
        ("1k", Some((Some(1000), 1000.0))),
        ("1K", None),
        ("1500m", Some((None, 1.5))),
        ("1000m", Some((None, 1.0))),
        ("100n", Some((None, 1.0000000000000001e-7))),
        ("0.1n", Some((None, 1e-9))),
        ("1.5u", Some((None, 1.5e-6))),
        ("12Mi", Some((Some(12582912), 12582912.0))),
        ("1.5Gi", Some((None, 1610612736.0))),
        ("0.5Ki", Some((None, 512.0))),
        ("1.1Ki", Some((None, 1126.4))),
        ("1P", Some((Some(1000000000000000), 1000000000000000.0))),
        ("1E", Some((Some(1000000000000000000), 1e18))),
        ("9E", Some((Some(9000000000000000000), 9e18))),
        ("10E", Some((None, 1e19))),
        ("1Ei", Some((None, 1.152921504606847e18))),
        ("7Ei", Some((None, 8.070450532247929e18))),
        ("8Ei", Some((None, 9.223372036854776e18))),
        ("-8Ei", Some((None, -9.223372036854776e18))),
        ("1Pi", Some((None, 1125899906842624.0))),
        ("1023Ti", Some((None, 1124800395214848.1))),
        ("1024Ti", Some((None, 1125899906842624.0))),
        ("99Ti", Some((Some(108851651149824), 108851651149824.0))),
        ("100Ti", Some((None, 109951162777600.0))),
        ("1e3", Some((Some(1000), 1000.0))),
        ("1E3", Some((Some(1000), 1000.0))),
        ("1e-3", Some((None, 0.001))),
        ("1e-9", Some((None, 1e-9))),
        ("1e-10", Some((None, 1e-9))),
        ("-1e-10", Some((None, -1e-9))),
        ("1e", None),
        ("1e+", None),
        ("1e+2", Some((Some(100), 100.0))),
        ("1e4294967298", Some((Some(100), 100.0))),
        ("1e400", Some((None, f64::INFINITY))),
        ("0e400", Some((Some(0), f64::NAN))),
        ("-1e400", Some((None, f64::NEG_INFINITY))),
        ("999999999999999999", Some((Some(999999999999999999), 1e18))),
        ("1000000000000000000", Some((None, 1.0000000000000001e18))),
        ("9223372036854775807", Some((None, 9.223372036854776e18))),
        ("9223372036854775808", Some((None, 9.223372036854776e18))),
        ("99999999999999999999", Some((None, 1e20))),
        ("0.123456789", Some((None, 0.12345678900000001))),
        ("0.1234567891", Some((None, 0.12345679000000001))),
        ("999999999.999999999", Some((None, 1000000000.0000001))),
        ("999999999.9999999991", Some((None, 1000000000.0000001))),
        ("9999999999999999999999999999999999999G", Some((None, 1.0000000000000001e46))),
        ("10000000000000000000000000000000000000000", Some((None, 1e40))),
        ("Mi", Some((Some(0), 0.0))),
        ("Pi", None),
        ("0Pi", Some((None, 0.0))),
        (".Pi", None),
        (".5Pi", Some((None, 562949953421312.0))),
        ("+", Some((Some(0), 0.0))),
        ("-", Some((Some(0), 0.0))),
        (".", Some((Some(0), 0.0))),
        ("-.", Some((Some(0), 0.0))),
        ("k", Some((Some(0), 0.0))),
        ("", None),
        ("e5", Some((Some(0), 0.0))),
        ("1..2", None),
        ("1.2.3", None),
        (" 1", None),
        ("1 ", None),
        ("1,5", None),
        ("--1", None),
        ("0x1", None),
        ("1Kim", None),
        ("1mm", None),
        ("1i", None),
        ("Three", None),
        ("20Mo", None),
        ("e-10", None),
        ("0e-10", Some((None, 0.0))),
        ("1.00", Some((None, 1.0))),
        ("0.1", Some((None, 0.1))),
        ("0.3", Some((None, 0.30000000000000004))),
    ];
    for (written, wanted) in table {
        let quantity = call("quantity", &[text(written)]);
        assert_eq!(shown(&call("isQuantity", &[text(written)])), quantity.is_ok().to_string(), "{written}");
        let quantity = quantity.ok().map(|quantity| seen(&quantity));
        assert!(
            match (quantity, *wanted) {
                (Some(quantity), Some(wanted)) => same(quantity, wanted),
                (None, None) => true,
                _ => false,
            },
            "{written}: {quantity:?}"
        );
    }
}

#[test]
#[rustfmt::skip]
fn pairs_are_compared_and_added_as_kubernetes_does() {
    // Two quantities, how they compare, their sum and their difference.
    let table: &[(&str, &str, i64, Seen, Seen)] = &[
        ("50k", "20k", 1, (Some(70000), 70000.0), (Some(30000), 30000.0)),
        ("50k", "20", 1, (Some(50020), 50020.0), (Some(49980), 49980.0)),
        ("1", "1m", 1, (None, 1.0010000000000001), (None, 0.999)),
        ("1", "0.0000000001", 1, (None, 1.000000001), (None, 0.999999999)),
        ("200M", "0.2G", 0, (Some(400000000), 400000000.0), (Some(0), 0.0)),
        ("50M", "50Mi", -1, (Some(102428800), 102428800.0), (Some(-2428800), -2428800.0)),
        ("8Ei", "1", 1, (None, 9.223372036854776e18), (None, 9.223372036854776e18)),
        ("8Ei", "8Ei", 0, (None, 1.8446744073709552e19), (None, 0.0)),
        ("9E", "9E", 0, (None, 1.8e19), (Some(0), 0.0)),
        ("-9E", "9E", -1, (Some(0), 0.0), (None, -1.8e19)),
        ("999999999999999999", "1n", 1, (None, 1.0000000000000001e18), (None, 1.0000000000000001e18)),
        ("0", "1.5", -1, (None, 1.5), (None, -1.5)),
        ("1.5", "0", 1, (None, 1.5), (None, 1.5)),
        ("1e30", "-1e30", 1, (Some(0), 0.0), (None, 2e30)),
        ("1e30", "1", 1, (None, 1e30), (None, 1e30)),
        ("1e-9", "1e9", -1, (None, 1000000000.0000001), (None, -1000000000.0000001)),
        ("1.5Gi", "1536Mi", 0, (None, 3221225472.0), (None, 0.0)),
        ("0.1", "0.2", -1, (None, 0.30000000000000004), (None, -0.1)),
        ("1Ki", "1.024k", 0, (Some(2048), 2048.0), (Some(0), 0.0)),
        ("1e100", "1e-9", 1, (None, 1e100), (None, 1e100)),
        ("0", "0.0", 0, (Some(0), 0.0), (Some(0), 0.0)),
        ("-1", "-1n", -1, (None, -1.000000001), (None, -0.999999999)),
        ("1e18", "1e19", -1, (None, 1.1e19), (Some(-9000000000000000000), -9e18)),
    ];
    for (a, b, order, sum, difference) in table {
        let read = |written: &str| call("quantity", &[text(written)]).expect("a quantity");
        let pair = [read(a), read(b)];
        assert_eq!(shown(&call("compareTo", &pair)), order.to_string(), "{a} {b}");
        assert_eq!(shown(&call("isLessThan", &pair)), (*order < 0).to_string(), "{a} {b}");
        assert_eq!(shown(&call("isGreaterThan", &pair)), (*order > 0).to_string(), "{a} {b}");
        let [Value::Opaque(left), Value::Opaque(right)] = &pair else { panic!() };
        assert_eq!(left.equals(&**right), *order == 0, "{a} {b}");
        for (name, wanted) in [("add", *sum), ("sub", *difference)] {
            let got = seen(&call(name, &pair).expect("a sum"));
            assert!(same(got, wanted), "{a} {name} {b}: {got:?}");
        }
    }
}

#[test]
fn ints_are_added_and_the_least_one_can_be_taken_away() {
    let read = |written: &str| call("quantity", &[text(written)]).expect("a quantity");
    let sum = call("add", &[read("50k"), 20.into()]).expect("a sum");
    assert_eq!(seen(&sum), (Some(50_020), 50_020.0));
    let difference = call("sub", &[read("1"), i64::MIN.into()]).expect("a difference");
    assert_eq!(shown(&call("compareTo", &[difference, read("9223372036854775809")])), "0");
}

#[test]
fn what_has_too_many_digits_is_refused() {
    let longest = "9".repeat(decimal::MAX_DIGITS);
    assert_eq!(shown(&call("isQuantity", &[text(&longest)])), "true");
    assert_eq!(shown(&call("isQuantity", &[text(&format!("{longest}1"))])), "false");
    // Zeros do not count.
    assert_eq!(shown(&call("isQuantity", &[text(&format!("{longest}000"))])), "true");
    assert_eq!(shown(&call("isQuantity", &[text("1e2000000000")])), "true");
    let far = [text("1e2000000000"), text("1")].map(|arg| call("quantity", &[arg]).expect("a quantity"));
    assert_eq!(shown(&call("isGreaterThan", &far)), "true");
    assert!(matches!(call("add", &far), Err(Fault::Error(_))));
}

#[test]
fn long_sums_are_charged() {
    let read = |written: &str| call("quantity", &[text(written)]).expect("a quantity");
    assert_eq!(charged("add", &[read("1"), read("2")]).1, 1);
    assert_eq!(charged("add", &[read("1e900"), read("1n")]).1, 92);
    assert_eq!(charged("quantity", &[text("12345678901")]).1, 2);
}

#[test]
fn faults_hold_no_values() {
    let fault = call("quantity", &[text("sesame")]).expect_err("no quantity");
    assert!(!format!("{fault:?}").contains("sesame"));
}
