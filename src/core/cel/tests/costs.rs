use super::*;

fn long_list(elements: usize, text: &str) -> Node {
    let items: Vec<Value> = (0..elements).map(|i| json!({"name": format!("{text}{i}"), "n": i})).collect();
    tree(&json!({ "list": items, "text": text }))
}

#[track_caller]
fn is_too_costly(source: &str, object: &Node) {
    let message = fault(source, object);
    assert!(message.starts_with("too costly: "), "{source}: {message}");
}

#[test]
fn loops_within_the_budget_run() {
    let object = long_list(300, "x");
    assert_eq!(judge("object.list.all(a, object.list.exists(b, a.n == b.n))", &object), Ok(true));
    assert_eq!(judge("object.list.map(a, a.name).distinct().size() == 300", &object), Ok(true));
}

#[test]
fn loops_beyond_the_budget_do_not() {
    let object = long_list(1000, "x");
    assert_eq!(
        fault("object.list.all(a, object.list.all(b, a.n == b.n || true))", &object),
        "too costly: takes more than 10000000 steps, looping over up to 1000 elements; narrow the lists down first"
    );
    for source in [
        // an answer that is there in spite of the error does not count
        "object.list.all(a, object.list.all(b, object.list.all(c, c == c))) || true",
        "lists.range(1000000).all(i, i >= 0)",
        "lists.range(999999).size() == 999999 && lists.range(999999).size() > 1",
        "[1, 2, 3, 4, 5, 6].all(i, lists.range(99999).all(j, j >= 0))",
        "object.list.all(a, object.list.all(b, a.name.matches('x+') || b.name.matches('x')))",
    ] {
        is_too_costly(source, &object);
    }
}

#[test]
fn what_grows_is_stopped_before_it_has() {
    let megabyte = long_list(1, &"a".repeat(1 << 20));
    let ten = ".replace('a', 'aaaaaaaaaa')";
    for source in [
        format!("'a'{}.size() > 0", ten.repeat(40)),
        "object.text.replace('', object.text).size() > 0".to_owned(),
        "object.text.replace('a', object.text).size() > 0".to_owned(),
        format!("({}'').size() > 0", "object.text + ".repeat(100)),
        format!("[{}].join().size() > 0", ["object.text"; 100].join(",")),
        "lists.range(1000).map(i, object.text + 'x').size() > 0".to_owned(),
        "lists.range(1000).map(i, 'x').join(object.text).size() > 0".to_owned(),
        format!("{}'\"'{}.size() > 0", "strings.quote(".repeat(40), ")".repeat(40)),
        format!("'{}'.format(lists.range(30).map(i, object.text)).size() > 0", "%s".repeat(30)),
        format!("[0]{}.size() > 0", ".map(v, [v, v])".repeat(40)),
        format!("optional.of([0]){}.hasValue()", ".optMap(v, [v, v])".repeat(30)),
        "lists.range(1000).all(i, object.text.contains('b') || true)".to_owned(),
        "object.text.split('').size() + object.text.split('').size() > 0".to_owned(),
        "object.text.indexOf(object.text) == 0".to_owned(),
        "lists.range(4000).distinct().size() > 0".to_owned(),
        "lists.range(2000).all(i, object == object)".to_owned(),
        "[lists.range(1000)].exists(z, lists.range(300).all(a, lists.range(10).all(b, [z].all(w, true))))"
            .to_owned(),
    ] {
        is_too_costly(&source, &megabyte);
    }
}

#[test]
fn texts_without_loops_have_a_remedy_too() {
    let object = long_list(1, &"a".repeat(1 << 20));
    assert_eq!(
        fault("object.text.replace('a', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaa') == ''", &object),
        "too costly: takes more than 10000000 steps; make its texts and lists shorter first"
    );
}

#[test]
fn each_evaluation_has_its_own_budget() {
    let object = long_list(300, "x");
    let mut bindings = Bindings::new(Inputs { object: Some(&object), ..Inputs::default() });
    let costly = rule("object.list.all(a, object.list.all(b, object.list.all(c, true)))");
    let cheap = rule("object.list.all(a, object.list.exists(b, a.n == b.n))");
    for _ in 0..5 {
        assert!(costly.evaluate_bool(&mut bindings).is_err());
        assert_eq!(cheap.evaluate_bool(&mut bindings), Ok(true));
    }
}
