//go:build lab

package goiardi

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"bakehouse/internal/chefapi"
)

func TestTheRealServerStartsTwiceInOneFolderWithNewKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var keys []string
	for range 2 {
		began := time.Now()
		s, err := Start(context.Background(), Config{Dir: dir, Listen: freePort(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("answered after %v", time.Since(began))
		key, err := os.ReadFile(s.AdminKey)
		if err != nil {
			t.Error(err)
		}
		keys = append(keys, string(key))
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		select {
		case <-s.Done():
		default:
			t.Error("Stop returned while the server runs")
		}
		if err := s.Stop(context.Background()); err != nil {
			t.Errorf("a second Stop = %v, want nil", err)
		}
	}
	if keys[0] == keys[1] {
		t.Error("the second server has the first one's key")
	}
}

func TestAServerThatKeepsItsDataHasItAfterARestart(t *testing.T) {
	t.Parallel()
	ctx, c := context.Background(), Config{Dir: t.TempDir(), Listen: freePort(t), Keep: true}
	first, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(first.AdminKey)
	if err != nil {
		t.Fatal(err)
	}
	chef, err := chefapi.New(chefapi.Config{ServerURL: first.URL, ClientName: AdminName, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := chef.CreateNode(ctx, chefapi.Node{Name: "web-1"}); err != nil {
		t.Error(err)
	}
	if err := first.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	second, err := Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Stop(ctx) }()
	if names, err := chef.NodeNames(ctx); err != nil || !slices.Equal(names, []string{"web-1"}) {
		t.Errorf("after the restart its nodes are %v, %v; want web-1, with the old key", names, err)
	}
}
