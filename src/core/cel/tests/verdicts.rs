use super::*;

#[track_caller]
fn all_hold(object: &Node, sources: &[&str]) {
    for source in sources {
        assert_eq!(judge(source, object), Ok(true), "{source}");
    }
}

#[track_caller]
fn none_holds(object: &Node, sources: &[&str]) {
    for source in sources {
        assert_eq!(judge(source, object), Ok(false), "{source}");
    }
}

#[test]
fn fields_of_a_pod() {
    all_hold(
        &pod(),
        &[
            "object.kind == 'Pod'",
            "object.metadata.name.startsWith('web-')",
            "object.metadata.labels['app.kubernetes.io/part-of'] == 'shop'",
            "'app' in object.metadata.labels",
            "!('owner' in object.metadata.labels)",
            "object.metadata.labels == {'tier': 'front', 'app': 'web', 'app.kubernetes.io/part-of': 'shop'}",
            "{'app': 'web', 'tier': 'front', 'app.kubernetes.io/part-of': 'shop'} == object.metadata.labels",
            "size(object.metadata.annotations) == 0 && object.metadata.annotations == {}",
            "has(object.spec.nodeName) && object.spec.nodeName == null",
            "!has(object.spec.serviceAccountName)",
            "!object.spec.hostNetwork",
            "object.status.phase in ['Running', 'Succeeded']",
            "type(object.spec) == map && type(object.spec.containers) == list && type(now) == google.protobuf.Timestamp",
            "object.metadata.name.matches('^web-[0-9]+$')",
            "oldObject == null && namespaceObject == null && request == null",
            "object.metadata.labels.`app.kubernetes.io/part-of` == 'shop'",
            "object == object && object.spec != object.status",
        ],
    );
    none_holds(&pod(), &["object.metadata.name == 'db'", "has(object.metadata.labels.owner)"]);
}

#[test]
fn numbers_are_ints_that_compare_with_all_numbers() {
    all_hold(
        &pod(),
        &[
            "object.status.restarts + 1 == 8",
            "object.status.restarts - 8 == -1",
            "object.status.restarts > 6.5",
            "object.spec.weight * 2.0 == 3.0",
            "object.spec.priority == 0 && object.spec.priority == 0u",
            "type(object.status.restarts) == int",
            "math.greatest(object.status.restarts, 3) == 7",
            "math.least(1, 2, object.spec.priority) == 0",
        ],
    );
}

#[test]
fn lists_are_the_evaluators_own() {
    all_hold(
        &route(),
        &[
            "['a.example', 'b.example'] == object.spec.hosts",
            "object.spec.hosts == ['a.example', 'b.example']",
            "object.spec.hosts + ['c'] == ['a.example', 'b.example', 'c']",
            "['c'] + object.spec.hosts == ['c', 'a.example', 'b.example']",
            "object.spec.hosts[1] == 'b.example' && object.spec.hosts.size() == 2",
            "[object.spec.hosts] == [['a.example', 'b.example']] && object.spec.hosts in [object.spec.hosts]",
            "object.spec.hosts.join('|') == 'a.example|b.example'",
            "object.spec.backends.map(b, b.weight) == [1, 3]",
            "object.spec.backends.filter(b, b.weight > 1) == [{'name': dyn('y'), 'weight': dyn(3)}]",
            "object.spec.backends.map(b, b.weight > 1, b.name) == ['y']",
            "object.spec.backends.exists_one(b, b.name == 'x') && object.spec.backends.existsOne(b, b.weight == 3)",
            "object.spec.backends.sortBy(b, -b.weight)[0].name == 'y'",
            "object.spec.hosts.reverse()[0] == 'b.example' && [2, 1].sort() == [1, 2]",
            "[1, 1, 2].distinct() == [1, 2] && [[1], [2]].flatten() == [1, 2]",
            "object.spec.hosts.slice(0, 1) == ['a.example']",
            "lists.range(3) == [0, 1, 2]",
            "object.spec.auth.map(key, key) == ['required']",
        ],
    );
}

#[test]
fn loops_over_containers() {
    all_hold(
        &pod(),
        &[
            "object.spec.containers.all(c, c.image.startsWith('registry.example/'))",
            "object.spec.containers.exists(c, c.image.endsWith(':latest'))",
            "!object.spec.containers.all(c, 'memory' in c.resources.limits)",
            "object.spec.containers.exists(c, c.ports.exists(p, p.containerPort == 8080))",
            "object.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True')",
            "object.spec.containers.all(c, object.spec.containers.exists(o, o.name == c.name))",
        ],
    );
}

#[test]
fn optional_syntax() {
    all_hold(
        &route(),
        &[
            "object.spec.?rateLimit.?rps.orValue(0) == 20",
            "object.spec.?missing.?rps.orValue(5) == 5",
            "!object.?status.hasValue()",
            "object.spec.hosts[?7].orValue('none') == 'none'",
            "object.spec.hosts[?0].value() == 'a.example'",
            "optional.none().orValue(1) == 1 && optional.of(2).value() == 2",
            "[?object.spec.?missing, ?object.spec.?auth].size() == 1",
            "{?'a': object.?missing} == {}",
            "object.spec.?auth.optMap(a, a.required == true).orValue(false)",
            "object.spec.?hosts.orValue([]).all(h, h.endsWith('.example'))",
            "object.?a.or(object.?kind).orValue('') == 'APIRoute'",
        ],
    );
}

#[test]
fn texts_and_times() {
    all_hold(
        &pod(),
        &[
            "now - timestamp(object.metadata.creationTimestamp) > duration('5m')",
            "now - timestamp(object.metadata.creationTimestamp) == duration('10m')",
            "now < timestamp('2024-05-01T12:00:01Z') && now.getFullYear() == 2024",
            "type(object.metadata.creationTimestamp) == string",
            "'a-b-c'.split('-') == ['a', 'b', 'c'] && 'abc'.substring(1) == 'bc'",
            "'aXbX'.replace('X', 'yy') == 'ayybyy' && 'aXbX'.replace('X', '', 1) == 'abX'",
            "'ab'.replace('', '-') == '-a-b-'",
            "['a', 'b'].join() == 'ab' && 'Ab'.lowerAscii() == 'ab' && ' a '.trim() == 'a'",
            "'%s has %d'.format([object.metadata.name, object.status.restarts]) == 'web-0 has 7'",
            "base64.decode('YQ==') == b'a' && base64.encode(b'a') == 'YQ=='",
            "strings.quote('a\"b') == '\"a\\\\\"b\"'",
            "'héllo'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3",
            "int('7') == object.status.restarts && string(object.status.restarts) == '7'",
        ],
    );
}

#[test]
fn an_error_is_absorbed_by_what_decides_without_it() {
    all_hold(
        &pod(),
        &[
            "object.spec.missing == 1 || true",
            "true || object.spec.missing == 1",
            "!(object.spec.missing == 1 && false)",
            "object.spec.containers.exists(c, c.missing == 1 || c.name == 'side')",
            "!object.spec.containers.all(c, c.ports.size() > 5)",
            "has(object.spec.missing) ? object.spec.missing == 1 : true",
        ],
    );
}

#[test]
fn changes() {
    let (old, new) = (pod(), route());
    let request = tree(&json!({"operation": "UPDATE", "name": "api", "kind": {"kind": "APIRoute"}}));
    let inputs = Inputs {
        object: Some(&new),
        old_object: Some(&old),
        request: Some(&request),
        namespace_object: Some(&old),
        now: now(),
        variables: &[],
    };
    let mut bindings = Bindings::new(inputs);
    for source in [
        "object.kind != oldObject.kind",
        "request.operation == 'UPDATE' && request.kind.kind == object.kind && request.name == 'api'",
        "namespaceObject.metadata.labels.app == 'web'",
    ] {
        assert_eq!(rule(source).evaluate_bool(&mut bindings), Ok(true), "{source}");
    }
}

#[test]
fn messages() {
    let object = pod();
    let message = |source: &str| {
        let program = compile(source, &scope(), Want::String).unwrap_or_else(|e| panic!("{source}: {e}"));
        program.evaluate_string(&mut Bindings::new(Inputs { object: Some(&object), ..Inputs::default() }))
    };
    assert_eq!(
        message("'no endpoint behind ' + object.metadata.name"),
        Ok("no endpoint behind web-0".into())
    );
    assert_eq!(
        message("object.status.restarts > 3 ? 'restarts' : string(object.kind)"),
        Ok("restarts".into())
    );
}

#[test]
fn a_program_knows_what_it_reads() {
    let program = rule("namespaceObject != null && object.spec.x == 1");
    assert_eq!(program.source(), "namespaceObject != null && object.spec.x == 1");
    assert!(program.uses(Root::NamespaceObject) && program.uses(Root::Object));
    assert!(!program.uses(Root::Now) && !program.uses(Root::OldObject));
    assert!(!rule("[1].all(object, object == 1)").uses(Root::Object), "a loop's own name");
}

#[test]
fn programs_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Program>();
    shared::<Scope>();
    moved::<Bindings<'_>>();
}
