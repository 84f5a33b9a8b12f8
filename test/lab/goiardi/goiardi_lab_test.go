//go:build lab

package goiardi

import (
	"context"
	"os"
	"testing"
	"time"
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
