package main

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/tools/cache"
)

// watch judges each Pod when it is added or changed.
func watch(
	ctx context.Context, client dynamic.Interface, findings *Findings, traffic *Traffic, strip bool,
) error {
	factory := dynamicinformer.NewDynamicSharedInformerFactory(client, 0)
	informer := factory.ForResource(pods).Informer()
	if strip {
		if err := informer.SetTransform(dropManagedFields); err != nil {
			return err
		}
	}
	judge := func(object any) {
		if pod, ok := object.(*unstructured.Unstructured); ok {
			findings.Judge(pod)
		}
	}
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    judge,
		UpdateFunc: func(_, object any) { judge(object) },
		DeleteFunc: func(object any) {
			if name, err := cache.DeletionHandlingObjectToName(object); err == nil {
				findings.Forget(identify(name.Namespace, name.Name))
			}
		},
	})
	if err != nil {
		return err
	}
	factory.Start(ctx.Done())
	// The handler's, not the cache's: every object was judged.
	if !cache.WaitFor(ctx, "pods", registration.HasSyncedChecker()) {
		return errors.New("stopped before the cache had synced")
	}
	findings.Synced(len(informer.GetStore().ListKeys()), traffic)
	<-ctx.Done()
	factory.Shutdown()
	return nil
}

func dropManagedFields(object any) (any, error) {
	if pod, ok := object.(*unstructured.Unstructured); ok {
		pod.SetManagedFields(nil)
	}
	return object, nil
}
