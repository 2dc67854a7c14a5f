package main

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
)

// poll lists all Pods again and again, as scripts do.
func poll(
	ctx context.Context, client dynamic.Interface, findings *Findings, traffic *Traffic, interval time.Duration,
) error {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := round(ctx, client, findings, traffic); errors.Is(err, context.Canceled) {
			return nil
		} else if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func round(ctx context.Context, client dynamic.Interface, findings *Findings, traffic *Traffic) error {
	list, err := client.Resource(pods).List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	gone := findings.Objects()
	for i := range list.Items {
		pod := &list.Items[i]
		delete(gone, identify(pod.GetNamespace(), pod.GetName()))
		findings.Judge(pod)
	}
	for name := range gone {
		findings.Forget(name)
	}
	findings.Synced(len(list.Items), traffic)
	return nil
}
