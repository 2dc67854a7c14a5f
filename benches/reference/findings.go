package main

import (
	"encoding/json"
	"log"
	"os"
	"sync"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type key struct {
	rule, object string
}

// Findings are what is open, and tell what opens and resolves.
type Findings struct {
	rules []Rule

	mu   sync.Mutex
	open map[key]struct{}
	out  *json.Encoder
}

// NewFindings starts with none.
func NewFindings(rules []Rule) *Findings {
	return &Findings{rules: rules, open: map[key]struct{}{}, out: json.NewEncoder(os.Stdout)}
}

// Judge applies every rule to an object.
func (f *Findings) Judge(object *unstructured.Unstructured) {
	name := identify(object.GetNamespace(), object.GetName())
	for _, rule := range f.rules {
		holds, err := rule.Holds(object.Object)
		if err != nil {
			log.Printf("%s: %v", name, err)
			continue
		}
		f.set(key{rule.Name, name}, !holds)
	}
}

// Forget resolves what was open of an object that is gone.
func (f *Findings) Forget(name string) {
	for _, rule := range f.rules {
		f.set(key{rule.Name, name}, false)
	}
}

// Objects are those with an open finding.
func (f *Findings) Objects() map[string]struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	objects := make(map[string]struct{}, len(f.open))
	for finding := range f.open {
		objects[finding.object] = struct{}{}
	}
	return objects
}

// Synced tells that every object of a list was judged.
func (f *Findings) Synced(objects int, traffic *Traffic) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.print(map[string]any{
		"message":  "synced",
		"objects":  objects,
		"findings": len(f.open),
		"bytes":    traffic.bytes.Load(),
		"requests": traffic.requests.Load(),
	})
}

func (f *Findings) set(finding key, open bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.open[finding]; known == open {
		return
	}
	message := "finding resolved"
	if open {
		message = "finding opened"
		f.open[finding] = struct{}{}
	} else {
		delete(f.open, finding)
	}
	f.print(map[string]any{"message": message, "rule": finding.rule, "object": finding.object})
}

func (f *Findings) print(line map[string]any) {
	if err := f.out.Encode(line); err != nil {
		log.Fatal(err)
	}
}

func identify(namespace, name string) string {
	return "Pod " + namespace + "/" + name
}
