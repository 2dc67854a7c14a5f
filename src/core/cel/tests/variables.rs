use super::super::Variable;
use super::*;

/// Compiles variables one after the other, then the rule.
fn judge_with(variables: &[(&str, &str)], source: &str) -> Result<bool, String> {
    let (scope, compiled) = compiled(variables)?;
    judge_in(&scope, &compiled, source)
}

fn compiled(variables: &[(&str, &str)]) -> Result<(Scope, Vec<Variable>), String> {
    let mut scope = scope();
    let mut compiled = Vec::new();
    for (name, source) in variables {
        let program = compile(source, &scope, Want::Any).map_err(|e| format!("{name}: {e}"))?;
        scope.declare(name, &program);
        compiled.push(Variable { name: (*name).to_owned(), program });
    }
    Ok((scope, compiled))
}

fn judge_in(scope: &Scope, compiled: &[Variable], source: &str) -> Result<bool, String> {
    let program = compile(source, scope, Want::Bool).map_err(|e| e.to_string())?;
    let object = pod();
    let inputs = Inputs { object: Some(&object), now: now(), variables: compiled, ..Inputs::default() };
    let mut bindings = Bindings::new(inputs);
    let first = program.evaluate_bool(&mut bindings);
    assert_eq!(program.evaluate_bool(&mut bindings), first, "asked again");
    first.map_err(|e| e.to_string())
}

#[test]
fn variables_read_the_object_and_each_other() {
    let variables = [
        ("names", "object.spec.containers.map(c, c.name)"),
        ("count", "variables.names.size()"),
        ("limits", "object.spec.containers[0].resources.limits"),
        ("maybe", "object.spec.?missing"),
    ];
    for source in [
        "variables.names == ['app', 'side'] && variables.count == 2",
        "variables.limits.memory == '1Gi' && has(variables.limits.cpu) && !has(variables.limits.gpu)",
        "object.spec.containers.all(c, c.name in variables.names)",
        "!variables.maybe.hasValue() && variables.maybe.orValue(1) == 1",
        "has(variables.count)",
        "object.spec.containers.exists(variables, variables.name == 'app')",
    ] {
        assert_eq!(judge_with(&variables, source), Ok(true), "{source}");
    }
}

#[test]
fn a_variable_that_fails_fails_only_who_reads_it() {
    let variables = [("bad", "object.spec.missing.deeper"), ("worse", "variables.bad + 1"), ("good", "1")];
    assert_eq!(judge_with(&variables, "variables.good == 1"), Ok(true));
    assert_eq!(judge_with(&variables, "true || variables.bad == 1"), Ok(true));
    assert_eq!(judge_with(&variables, "variables.bad == 1 || true"), Ok(true));
    let why = Err("variable `bad`: no such key: missing".to_owned());
    assert_eq!(judge_with(&variables, "variables.bad == 1"), why);
    assert_eq!(judge_with(&variables, "variables.worse == 1 || variables.good == 2"), why);
}

#[test]
fn a_variable_is_declared_before_it_is_read() {
    let error = judge_with(&[("limit", "1"), ("names", "[1]")], "variables.limt == 1");
    let text = "there is no variable `variables.limt` (at 1:10); did you mean `variables.limit`?";
    assert_eq!(error, Err(text.to_owned()));
    let whole = judge_with(&[("limit", "1")], "variables == {}");
    assert!(
        whole.as_ref().is_err_and(|e| e.starts_with("there is no variable `variables` (at 1:1)")),
        "{whole:?}"
    );
}

#[test]
fn what_a_variable_is_counts_for_who_reads_it() {
    let error = judge_with(&[("limit", "1 + 1")], "variables.limit").expect_err("a number");
    assert_eq!(error, "this is an int (at 1:10), want a bool; compare it with something");
}

#[test]
fn a_program_names_its_variables() {
    let mut scope = scope();
    for name in ["b", "a", "c"] {
        scope.declare(name, &rule("true"));
    }
    let program = compile("variables.b && variables.a || variables.b", &scope, Want::Bool).expect("a rule");
    assert_eq!(program.variables(), ["a", "b"]);
}

#[test]
fn variables_that_double_stop() {
    let names: Vec<String> = (0..40).map(|i| format!("v{i}")).collect();
    for (first, next) in
        [("'0123456789'", "variables.X + variables.X"), ("[1]", "[dyn(variables.X), dyn(variables.X)]")]
    {
        let sources: Vec<String> = (0..40)
            .map(|i| if i == 0 { first.to_owned() } else { next.replace('X', &names[i - 1]) })
            .collect();
        let variables: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(sources.iter().map(String::as_str)).collect();
        let error = judge_with(&variables, "variables.v39 == variables.v39").expect_err("too large");
        assert!(error.starts_with("too costly: takes more than 1000000 steps"), "{error}");
    }
}

/// On the 2 MiB stack of a test's thread.
#[test]
fn a_chain_of_variables_is_as_deep_as_the_stack_bears() {
    let chain = |length: usize| {
        let names: Vec<String> = (0..length).map(|i| format!("v{i}")).collect();
        let sources: Vec<String> = (0..length)
            .map(|i| if i == 0 { "1".to_owned() } else { format!("variables.v{} + 1", i - 1) })
            .collect();
        let variables: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(sources.iter().map(String::as_str)).collect();
        let last = format!("variables.v{} == {length}", length - 1);
        compiled(&variables).and_then(|(scope, compiled)| judge_in(&scope, &compiled, &last))
    };
    assert_eq!(chain(59), Ok(true));
    let error = chain(60).expect_err("too deep");
    assert!(error.contains("operations are nested more than 600 deep"), "{error}");
}

/// Variables that are as deep as they may be, within one another as deep as they may be.
#[test]
fn the_deepest_variables_run_on_an_ordinary_stack() {
    let mut ran = 0;
    for (open, close, times, wrap) in [
        ("[", "]", 190, "X == [1]"),
        ("size([", "])", 95, "X == 1"),
        ("-", "", 95, "X == 1"),
        ("[1].map(x, ", ")", 8, "X == [1]"),
        ("optional.of(1).optMap(x, ", ")", 45, "X.hasValue()"),
        ("(object.kind == 'Pod' ? ", " : dyn(1))", 60, "X == 1"),
        ("cel.bind(x, 1, ", ")", 90, "X == 1"),
        ("{'a': ", "}.a", 60, "X == 1"),
        ("dyn(1) in [", "] ? dyn(1) : dyn(2)", 45, "X == 1"),
    ] {
        let nested = |inner: &str| open.repeat(times) + inner + &close.repeat(times);
        let mut sources = vec![nested("dyn(1)")];
        for n in 0..2 {
            sources.push(nested(&format!("dyn(variables.v{n})")));
        }
        let names: Vec<String> = (0..sources.len()).map(|i| format!("v{i}")).collect();
        let variables: Vec<(&str, &str)> =
            names.iter().map(String::as_str).zip(sources.iter().map(String::as_str)).collect();
        // What does not compile is too deep; what does runs.
        if let Ok((scope, compiled)) = compiled(&variables) {
            ran += usize::from(judge_in(&scope, &compiled, &wrap.replace('X', "variables.v2")).is_ok());
        }
    }
    assert!(ran >= 6, "{ran} of the shapes");
}
