package main

import (
	"fmt"
	"strings"

	"github.com/google/cel-go/cel"
)

// Rule is one expression, compiled once.
type Rule struct {
	Name    string
	program cel.Program
}

// Rules are the values of a flag.
type Rules []Rule

func (r *Rules) String() string { return "" }

// Set compiles NAME=EXPRESSION.
func (r *Rules) Set(text string) error {
	name, expression, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("%q is not NAME=EXPRESSION", text)
	}
	env, err := cel.NewEnv(cel.Variable("object", cel.DynType))
	if err != nil {
		return err
	}
	ast, issues := env.Compile(expression)
	if err := issues.Err(); err != nil {
		return err
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return err
	}
	*r = append(*r, Rule{Name: name, program: program})
	return nil
}

// Holds tells whether an object is compliant.
func (r Rule) Holds(object map[string]any) (bool, error) {
	value, _, err := r.program.Eval(map[string]any{"object": object})
	if err != nil {
		return false, fmt.Errorf("rule %s: %w", r.Name, err)
	}
	holds, ok := value.Value().(bool)
	if !ok {
		return false, fmt.Errorf("rule %s is no bool", r.Name)
	}
	return holds, nil
}
