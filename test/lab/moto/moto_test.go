package moto

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bakehouse/internal/fault"
)

func TestWriteImagesKeepsWhatMotoReads(t *testing.T) {
	t.Parallel()
	path, err := writeImages(t.TempDir(), Image{ID: "ami-1", Name: "n", OwnerID: "099720109477", RootDevice: "/dev/xvda"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(b, &list); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"ami_id": "ami-1", "root_device_type": "ebs", "root_device_name": "/dev/xvda",
	} {
		if len(list) != 1 || list[0][key] != want {
			t.Errorf("%s is %v, want %v", key, list[0][key], want)
		}
	}
}

func TestCleanEnvKeepsOthersSettingsOut(t *testing.T) {
	t.Parallel()
	got := cleanEnv([]string{"PATH=/bin", "AWS_ENDPOINT_URL=http://x", "MOTO_PORT=1"})
	if len(got) != 1 || got[0] != "PATH=/bin" {
		t.Errorf("cleanEnv left %v", got)
	}
}

func TestFindNamesWhatToInstall(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // no interpreter can be asked
	_, err := Find(ctx, filepath.Join(t.TempDir(), "none"))
	if err == nil || !strings.Contains(fault.NextOf(err), "moto[server]=="+Version) {
		t.Errorf("Find without moto: %v, next %q", err, fault.NextOf(err))
	}
}
