use super::*;

#[test]
fn what_cannot_be_read() {
    for (source, message) in [
        ("", "the expression is empty; write one, or leave the field out"),
        (" \n\t", "the expression is empty; write one, or leave the field out"),
        ("1 +", "the expression ends too early (at 1:4)"),
        ("// only a comment", "the expression ends too early (at 1:18)"),
        ("object.a\n  && object.b object.c", "unexpected `object` (at 2:15)"),
        ("object.a = 1", "unexpected `=`; two things are compared with `==` (at 1:10)"),
        ("object.a || | true", "unexpected `|`; write `||` for or (at 1:13)"),
        ("object.a && & true", "unexpected `&`; write `&&` for and (at 1:13)"),
        ("'abc", "a string is not closed, or has an escape that CEL does not know (at 1:1)"),
        ("'a\\z'", "a string is not closed, or has an escape that CEL does not know (at 1:1)"),
        ("(object.a", "`)` is missing (at 1:10)"),
        ("object.a ? true", "the expression ends too early (at 1:16)"),
        ("😀", "unexpected character `😀` (at 1:1)"),
        ("'é😀' == object.a b", "unexpected `b` (at 1:18)"),
        ("true\u{0}", "unexpected character `\u{fffd}` (at 1:5)"),
        ("if", "`if` is a reserved word of CEL and cannot be a name (at 1:1)"),
        ("has(object)", "has() wants a field, as in has(object.spec.field) (at 1:5)"),
        ("[1].all(1, true)", "the first argument must be a name, as in list.all(x, …) (at 1:9)"),
        ("1 == 99999999999999999999", "this number does not fit into 64 bits (at 1:6)"),
        ("Pod{a: 1} == object", "`Pod{…}`: there are no message types to make (at 1:4)"),
        ("object.a.matches('(')", "invalid regular expression: missing closing ) (at 1:17)"),
    ] {
        assert_eq!(refusal(source, Want::Bool), message, "{source}");
    }
}

#[test]
fn names_that_do_not_exist() {
    for (source, message) in [
        ("objct.spec.x == 1", "there is no variable `objct` (at 1:1); did you mean `object`?"),
        ("oldobject != null", "there is no variable `oldobject` (at 1:1); did you mean `oldObject`?"),
        (
            "foo == 1",
            "there is no variable `foo` (at 1:1); there are object, oldObject, namespaceObject, request, now",
        ),
        ("object.a.all(item, itm > 1)", "there is no variable `itm` (at 1:20); did you mean `item`?"),
        (
            "object.a.all(x, x > 1) && x",
            "there is no variable `x` (at 1:27); there are object, oldObject, namespaceObject, request, now",
        ),
        (
            "variables.a",
            "there is no variable `variables.a` (at 1:10); there are object, oldObject, namespaceObject, request, now",
        ),
        ("request.nme == ''", "there is no variable `request.nme` (at 1:8); did you mean `request.name`?"),
        ("object.a.startWith('b')", "there is no function `startWith` (at 1:19); did you mean `startsWith`?"),
        ("list.range(1) == [1]", "there is no function `range` (at 1:11)"),
        ("frobnicate(1)", "there is no function `frobnicate` (at 1:11)"),
        ("__foo__(1)", "there is no function `__foo__` (at 1:8)"),
        (
            "object.a.all(x)",
            "`all` cannot be called like this (at 1:13); write list.all(x, condition) or map.all(key, value, condition)",
        ),
        (
            "object.a.contains()",
            "`contains` cannot be called like this (at 1:18); write string.contains(string)",
        ),
        (
            "contains(object.a, 'b')",
            "`contains` cannot be called like this (at 1:9); write string.contains(string)",
        ),
        (
            "object.a.substring(1, 2, 3) == ''",
            "`substring` cannot be called like this (at 1:19); write string.substring(int) or string.substring(int, int)",
        ),
        (
            "authorizer.group('apps').check('get').allowed()",
            "`authorizer` exists only while a request is admitted (at 1:1), not when objects are watched; \
             rewrite the expression without it",
        ),
        ("lists.rang(1) == [1]", "there is no function `lists.rang` (at 1:11); did you mean `lists.range`?"),
        (
            "authorizer == null",
            "`authorizer` exists only while a request is admitted (at 1:1), not when objects are watched; \
             rewrite the expression without it",
        ),
        (
            "'system:masters' in request.userInfo.groups",
            "`request.userInfo` exists only while a request is admitted (at 1:28), not when objects are watched; \
             rewrite the expression without it",
        ),
        (
            "request['userInfo'] == 1",
            "`request.userInfo` exists only while a request is admitted (at 1:8), not when objects are watched; \
             rewrite the expression without it",
        ),
    ] {
        assert_eq!(refusal(source, Want::Bool), message, "{source}");
    }
}

#[test]
fn a_scope_without_old_object_says_so() {
    let error =
        compile("oldObject == null", &Scope::new(&[Root::Object]), Want::Bool).expect_err("not there");
    assert_eq!(error.to_string(), "there is no variable `oldObject` (at 1:1); there are object");
}

#[test]
fn rules_that_are_no_verdicts() {
    for (source, got) in [
        ("1", "an int (at 1:1)"),
        ("'yes'", "a string (at 1:1)"),
        ("[true]", "a list (at 1:1)"),
        ("{'a': true}", "a map (at 1:1)"),
        ("null", "null (at 1:1)"),
        ("now", "a timestamp (at 1:1)"),
        ("object", "a value whose type is known only at run time (at 1:1)"),
        ("object.a", "a value whose type is known only at run time (at 1:7)"),
        ("object.a ? object.b : true", "a value whose type is known only at run time (at 1:10)"),
        ("size(object.a)", "an int (at 1:5)"),
        ("string(object.a)", "a string (at 1:7)"),
        ("'a' + object.b", "a string (at 1:5)"),
        ("object.a.map(x, x == 1)", "a list (at 1:13)"),
        ("object.?a", "an optional (at 1:7)"),
        ("object.a.sortBy(x, x)", "a list (at 1:16)"),
    ] {
        assert_eq!(
            refusal(source, Want::Bool),
            format!("this is {got}, want a bool; compare it with something")
        );
    }
    for source in ["object.a == true", "object.a.all(x, x)", "object.a && object.b"] {
        rule(source);
    }
}

#[test]
fn types_that_do_not_fit() {
    for (source, message) in [
        (
            "object.a ? true : 'no'",
            "`?:` does not take a value whose type is known only at run time and a bool and a string (at 1:10)",
        ),
        ("object.a && 'b'", "this is a string (at 1:13), want a bool"),
        ("!size(object.a)", "`!` does not take an int (at 1:1)"),
        ("1 + 1.0 == 2.0", "`+` does not take an int and a double (at 1:3)"),
        ("1 == 'a'", "`==` does not take an int and a string (at 1:3)"),
        (
            "['a', 1].size() == 2",
            "this is an int (at 1:7) among others that are a string; use dyn(…) around each to mix them",
        ),
        ("'a'.startsWith(1)", "`startsWith` does not take a string with an int (at 1:15)"),
        ("size(1) == 1", "`size` does not take an int (at 1:5)"),
        ("'a'.b == 1", "this is a string and has no field `b` (at 1:4)"),
        ("1.all(x, true)", "an int is looped over (at 1:1); want a list or a map"),
        ("'a'.optMap(x, x).hasValue()", "this is a string (at 1:1), want an optional"),
        (
            "namespaceObject.metadata.lables == {}",
            "there is no field `lables` in namespaceObject.metadata (at 1:25); did you mean `labels`?",
        ),
    ] {
        assert_eq!(refusal(source, Want::Bool), message, "{source}");
    }
}

#[test]
fn messages_that_are_no_texts() {
    for (source, got) in [
        ("true", "a bool (at 1:1)"),
        ("object.a == 1", "a bool (at 1:10)"),
        ("object.a > 1 ? 'many' : object.b", "a value whose type is known only at run time (at 1:14)"),
        ("object.a.exists(x, x)", "a bool (at 1:16)"),
        ("object.a.existsOne(x, x)", "a bool (at 1:19)"),
        ("['a']", "a list (at 1:1)"),
        ("object.a.size()", "an int (at 1:14)"),
        ("has(object.a)", "a bool (at 1:4)"),
    ] {
        assert_eq!(
            refusal(source, Want::String),
            format!("this is {got}, want a string; use string(…) to convert it")
        );
    }
}

#[test]
fn what_fails_on_an_object() {
    for (source, message) in [
        ("object.spec.missing == 1", "no such key: missing"),
        ("object.metadata.labels['owner'] == 'a'", "no such key: owner"),
        // the key is a value of the object
        ("object.metadata.labels[object.status.phase] == 'a'", "no such key"),
        ("object.metadata.name.x == 1", "no such overload: a string has no fields"),
        ("object.metadata.name + 1 == 2", "no such overload: `+` does not take a string and an int"),
        ("object.status.restarts + 0.5 > 1.0", "no such overload: `+` does not take an int and a double"),
        ("object.metadata.name < 1", "no such overload: `<` does not take a string and an int"),
        ("object.spec.containers[9].name == ''", "index out of bounds"),
        ("object.spec.containers['a'] == 1", "unsupported index type string in list"),
        ("1 / object.spec.priority == 1", "division by zero"),
        ("object.status.restarts + 9223372036854775807 > 0", "integer overflow"),
        ("object.metadata.name.all(x, x)", "a string is looped over; want a list or a map"),
        ("object.metadata.name && true", "no such overload: `&&` does not take a string"),
        ("object.metadata.name ? true : false", "no such overload: `?:` does not take a string"),
        (
            "object.status.restarts.startsWith('7')",
            "no such overload: `startsWith` does not take an int and a string",
        ),
        ("size(object.status.restarts) == 1", "no such overload: `size` does not take an int"),
        (
            "timestamp(object.metadata.name) < now",
            "type conversion error from 'string' to 'google.protobuf.Timestamp'",
        ),
        (
            "duration(object.metadata.name) < duration('1s')",
            "type conversion error from 'string' to 'google.protobuf.Duration'",
        ),
        ("int(object.metadata.name) == 1", "type conversion error from 'string' to 'int'"),
        ("object.?missing.value() == 1", "optional.none() dereference"),
        ("'a'.matches(object.metadata.name + '(')", "invalid regular expression: missing closing )"),
        ("lists.range(-1) == []", "lists.range: size must be non-negative"),
    ] {
        assert_eq!(fault(source, &pod()), message, "{source}");
    }
}

#[test]
fn no_error_repeats_what_a_secret_holds() {
    let secret =
        tree(&json!({"kind": "Secret", "n": 1, "data": {"password": "hunter2", "list": ["hunter2"]}}));
    for source in [
        "object.data.password + 1 == 2",
        "1 + object.data.password == 2",
        "object.data < 1",
        "1 < object.data.list",
        "object.data - object.data == 1",
        "object[object.data.password] == 1",
        "object.data.list[object.data.password] == 1",
        "object.data.list[0.5] == 1",
        "timestamp(object.data.password) == now",
        "duration(object.data.password) == duration('1s')",
        "int(object.data.password) == 1",
        "double(object.data.password) == 1.0",
        "base64.decode(object.data.password + '!') == b''",
        "'a'.matches(object.data.password + '(')",
        "object.data.password.format([1]) == '' || object.data.list[1] == ''",
        "'%d'.format([object.data.password]) == ''",
        "{object.data: 1} == {}",
        "{object.data.password: 1, dyn('hunter' + '2'): 2} == {} || object.data.password + 1 == 2",
        "now.getHours(object.data.password) == 1",
        "object.data.password && true",
        "object.data.list.map(x, x + 1) == []",
        "object.data.list.sort() == 1 || math.greatest(object.data.list) == 1",
        "object.data.password.charAt(99) == ''",
    ] {
        assert!(!fault(source, &secret).contains("hunter2"), "{source}");
    }
}
