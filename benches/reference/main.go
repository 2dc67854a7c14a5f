// Reference judges every Pod of a cluster by CEL rules, as one would build it by hand: a client-go informer or a
// list every few seconds, and cel-go. Findings that open or resolve are lines of JSON on standard output.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
)

var pods = schema.GroupVersionResource{Version: "v1", Resource: "pods"}

func main() {
	var rules Rules
	flag.Var(&rules, "rule", "NAME=EXPRESSION, true for a compliant object; may be repeated")
	mode := flag.String("mode", "watch", "watch, or poll: a full list every -interval")
	interval := flag.Duration("interval", 10*time.Second, "time from one list to the next")
	strip := flag.Bool("strip-managed-fields", false, "keep objects without metadata.managedFields")
	kubeconfig := flag.String("kubeconfig", "", "the cluster")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *mode, *kubeconfig, *interval, *strip, rules); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, mode, kubeconfig string, interval time.Duration, strip bool, rules Rules) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("no cluster: %w", err)
	}
	traffic := &Traffic{}
	traffic.Count(config)
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("no client: %w", err)
	}
	findings := NewFindings(rules)
	switch mode {
	case "watch":
		return watch(ctx, client, findings, traffic, strip)
	case "poll":
		return poll(ctx, client, findings, traffic, interval)
	default:
		return fmt.Errorf("unknown mode %q", mode)
	}
}
