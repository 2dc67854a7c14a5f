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
        "too costly: takes more than 1000000 steps; narrow its lists down and make its texts shorter first"
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
        // What is shared is not copied, but looking at it is charged.
        format!("[0]{0} == [0]{0}", ".map(v, [v, v])".repeat(30)),
        format!("'%s'.format([[0]{}]).size() > 0", ".map(v, [v, v])".repeat(40)),
        format!("optional.of([0]){0} == optional.of([0]){0}", ".optMap(v, [v, v])".repeat(30)),
        "lists.range(1000).all(i, object.text.contains('b') || true)".to_owned(),
        "object.text.split('').size() + object.text.split('').size() > 0".to_owned(),
        "lists.range(4000).distinct().size() > 0".to_owned(),
        "lists.range(2000).all(i, object == object)".to_owned(),
    ] {
        is_too_costly(&source, &megabyte);
    }
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

#[test]
fn all_evaluations_of_a_policy_have_one_budget_too() {
    let object = long_list(300, "x");
    let mut bindings = Bindings::new(Inputs { object: Some(&object), ..Inputs::default() });
    let costly = rule("object.list.all(a, object.list.all(b, object.list.all(c, true)))");
    for _ in 0..10 {
        let said = costly.evaluate_bool(&mut bindings).expect_err("too costly").to_string();
        assert!(said.starts_with("too costly: takes more than 1000000 steps"), "{said}");
    }
    let said = rule("1 == 1 && object.kind == ''")
        .evaluate_bool(&mut bindings)
        .expect_err("nothing left")
        .to_string();
    assert_eq!(
        said,
        "too costly: the expressions of the policy take more than 10000000 steps for one object; split the policy"
    );
}

/// The figures of cel-go's runtime cost with the costs of Kubernetes' libraries.
#[test]
fn steps_are_those_of_a_kube_apiserver() {
    let object = long_list(10, "0123456789");
    for (source, steps) in [
        ("object.text == 'x'", 1 + 1 + 1),
        ("object.list.size() == 10", 2 + 1 + 1),
        ("object.list.all(x, x.n >= 0)", 2 + 1 + 10 * (3 + 2 + 1)),
        ("object.list.exists(x, x.n > 99)", 2 + 1 + 10 * (4 + 2 + 1)),
        ("object.list.map(x, x.n) == []", 2 + 11 + 10 * (12 + 2)),
        ("has(object.list)", 1),
        ("object.text + object.text == ''", 4 + 2),
    ] {
        let mut bindings = Bindings::new(Inputs { object: Some(&object), ..Inputs::default() });
        rule(source).evaluate_bool(&mut bindings).expect(source);
        assert_eq!(bindings.spent(), steps, "{source}");
    }
}
