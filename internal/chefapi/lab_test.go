//go:build lab

package chefapi

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// goiardi starts a real Chef server with authentication on, on a free loopback
// port, and returns its administrator's Config.
func goiardi(t *testing.T) Config {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	l.Close()
	dir := t.TempDir()
	cmd := exec.Command("goiardi", "-A", "-V", "-P", port, "-I", "127.0.0.1", "-H", "127.0.0.1", "--conf-root="+dir)
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	c := Config{ServerURL: "http://127.0.0.1:" + port, ClientName: "admin"}
	eventually(t, "goiardi to listen", func() bool {
		conn, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			conn.Close()
			c.Key, err = os.ReadFile(filepath.Join(dir, "admin.pem"))
		}
		return err == nil
	})
	return c
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if check() {
			return
		}
	}
	t.Fatalf("waited 3 min in vain for %s", what)
}

func TestSemanticsOfGoiardi(t *testing.T) {
	t.Parallel()
	semantics(t, server{admin: goiardi(t), settle: func(check func() bool) { eventually(t, "the search to show the node", check) }})
}

// What was uploaded must come back byte for byte, as a node downloads it.
func TestCookbookFilesComeBackFromGoiardi(t *testing.T) {
	t.Parallel()
	c := client(t, goiardi(t))
	if _, err := c.Upload(t.Context(), oneCookbook(t)); err != nil {
		t.Fatal(err)
	}
	var reply struct {
		RootFiles []struct {
			Path string `json:"path"`
			URL  string `json:"url"`
		} `json:"root_files"`
	}
	if err := c.do(t.Context(), call{what: "fetching it", method: http.MethodGet, path: "cookbooks/a/1.0.0"}, &reply); err != nil {
		t.Fatal(err)
	}
	if len(reply.RootFiles) != 1 || reply.RootFiles[0].Path != "metadata.rb" {
		t.Fatalf("root files = %+v", reply.RootFiles)
	}
	res, err := c.http.Get(reply.RootFiles[0].URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "name 'a'\nversion '1.0.0'\n" {
		t.Errorf("downloaded %q, %v", b, err)
	}
}

func TestSearchOfGoiardiIsWholeBeyondOnePage(t *testing.T) {
	t.Parallel()
	c := client(t, goiardi(t))
	const nodes = 1300
	for i := range nodes {
		if err := c.CreateNode(t.Context(), Node{Name: fmt.Sprintf("n%04d", i)}); err != nil {
			t.Fatal(err)
		}
	}
	var last error
	eventually(t, "all nodes in the search", func() bool {
		found, err := c.SearchNodes(t.Context(), "")
		last = errors.Join(err, last)
		return err == nil && len(found) == nodes
	})
	if last != nil {
		t.Error(last)
	}
}
