//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"bakehouse/release"
	"bakehouse/test/story"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// pulled is an instance that follows a channel of its own and serves a build.
type pulled struct {
	t       *testing.T
	ctx     context.Context
	inst    story.Instance
	channel string
	first   string // the build that it serves
}

// followChannel launches an instance that follows a channel of that name.
func followChannel(t *testing.T, channel string) pulled {
	t.Helper()
	theStory(t)
	p := pulled{t: t, ctx: deadline(t, 4*time.Minute), channel: channel}
	p.first = p.push(channel+"-first", nil)
	p.inst = launch(p.ctx, t, story.Launch{Tags: map[string]string{"bakehouse:channel": channel}})
	if err := complete(p.ctx, p.inst.ID); err != nil {
		t.Fatal(err)
	}
	soonGivesUp(t, p.inst.ID)
	return p
}

// soonGivesUp has a guest's agent wait ten seconds for a build's health, not a
// minute: for the builds that never become healthy.
func soonGivesUp(t *testing.T, id string) {
	t.Helper()
	inGuest(t, id, `sed -i 's/"timeout": "1m0s"/"timeout": "10s"/' /etc/bakehouse/agent.json`)
}

// push pushes a build with further files to the channel.
func (p pulled) push(note string, files map[string]string) string {
	p.t.Helper()
	dir, err := s.world.Build(note)
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, []byte(content), 0o755)
		}
	}
	if err != nil {
		p.t.Fatal(err)
	}
	id, err := s.world.Push(p.ctx, dir, p.channel)
	if err != nil {
		p.t.Fatal(err)
	}
	return id
}

// deploy runs boot-agent deploy in the guest and returns its exit code and what it says.
func (p pulled) deploy(flags string) (code, said string) {
	p.t.Helper()
	out := inGuest(p.t, p.inst.ID, "boot-agent deploy "+flags+" 2>&1; echo $?")
	at := strings.LastIndex(out, "\n")
	return out[at+1:], out[:max(at, 0)]
}

// serves wants a build answering, and nothing unfinished on the disk.
func (p pulled) serves(id, after string) {
	p.t.Helper()
	ctx, cancel := within(p.ctx, 15*time.Second)
	defer cancel()
	if a, err := s.world.Answers(ctx, p.inst.Addr); err != nil || a.Release != id {
		p.t.Errorf("after %s the app answers with %s (%v), want %s", after, a.Release, err, id)
	}
	if left := inGuest(p.t, p.inst.ID, "ls -A /srv/web /srv/web/releases | grep -F .tmp- || true"); left != "" {
		p.t.Errorf("after %s there is left: %s", after, left)
	}
}

// refuses wants a deploy to fail with a clear line and a next step, and the
// first build to go on serving under the same process.
func (p pulled) refuses(what, words string) {
	p.t.Helper()
	const pid = "systemctl show -P MainPID web.service"
	before := inGuest(p.t, p.inst.ID, pid)
	code, said := p.deploy("")
	if code == "0" || !strings.Contains(said, words) || !strings.Contains(said, "  next: ") {
		p.t.Errorf("%s: exit code %s, want %q and a next step:\n%s", what, code, words, said)
	}
	p.serves(p.first, what)
	if after := inGuest(p.t, p.inst.ID, pid); after != before {
		p.t.Errorf("%s: the app was restarted (process %s, then %s)", what, before, after)
	}
}

// object reads and writes an object behind everybody's back.
func (p pulled) object(key string, change func([]byte) []byte) (before []byte) {
	p.t.Helper()
	client := s3.NewFromConfig(s.world.AWS, func(o *s3.Options) { o.UsePathStyle = true })
	bucket := aws.String("bakehouse-builds")
	got, err := client.GetObject(p.ctx, &s3.GetObjectInput{Bucket: bucket, Key: &key})
	if err != nil {
		p.t.Fatal(err)
	}
	defer got.Body.Close()
	if before, err = io.ReadAll(got.Body); err != nil {
		p.t.Fatal(err)
	}
	if after := change(bytes.Clone(before)); !bytes.Equal(after, before) {
		if _, err := client.PutObject(p.ctx, &s3.PutObjectInput{Bucket: bucket, Key: &key, Body: bytes.NewReader(after)}); err != nil {
			p.t.Fatal(err)
		}
	}
	return before
}

// spoilt changes an object, wants the deploy refused, and puts it back.
func (p pulled) spoilt(what, key, words string, change func([]byte) []byte) {
	p.t.Helper()
	good := p.object(key, change)
	p.refuses(what, words)
	p.object(key, func([]byte) []byte { return good })
}

func TestNoForgedBuildIsServed(t *testing.T) {
	p := followChannel(t, "forged")
	channel := release.ChannelKey("web", p.channel)
	old := p.object(channel, func(b []byte) []byte { return b })
	stranger, err := release.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	second := release.ID(p.push("forged-second", nil))
	manifest, artefact := release.ManifestKey("web", second), release.ArtifactKey("web", second)
	cut := func(b []byte) []byte { return b[:len(b)/2] }
	unsigned := func(b []byte) []byte { return b[:bytes.LastIndex(b, []byte(`{"signatures"`))] }
	resigned := func(kind release.Kind) func([]byte) []byte {
		return func(b []byte) []byte {
			b, err := stranger.Sign(kind, unsigned(b))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	flip := func(b []byte) []byte { b[len(b)/2] ^= 1; return b }
	other := p.object(release.ManifestKey("web", release.ID(p.first)), func(b []byte) []byte { return b })
	p.spoilt("a corrupt channel", channel, "channel forged of web", flip)
	p.spoilt("a truncated channel", channel, "channel forged of web", cut)
	p.spoilt("an unsigned channel", channel, "it is not signed", unsigned)
	p.spoilt("a channel signed anew", channel, "unknown key", resigned(release.ChannelKind))
	p.spoilt("a truncated manifest", manifest, "manifest of build "+second.Short(), cut)
	p.spoilt("an unsigned manifest", manifest, "it is not signed", unsigned)
	p.spoilt("a manifest signed anew", manifest, "unknown key", resigned(release.ManifestKind))
	p.spoilt("a manifest swapped for another's", manifest, "it says it is build", func([]byte) []byte { return other })
	p.spoilt("a corrupt build", artefact, "do not match the digest", flip)
	p.spoilt("a truncated build", artefact, "cut off", cut)
	if code, said := p.deploy(""); code != "0" {
		t.Fatalf("the honest build: exit code %s\n%s", code, said)
	}
	p.serves(string(second), "the honest build")
	p.first = string(second)
	p.spoilt("an older channel put back", channel, "was seen here before", func([]byte) []byte { return old })
}

// restarts is how long a roll-back may take here, in seconds: one, and more only
// where five restarts of the app take longer than that.
func (p pulled) restarts() float64 {
	p.t.Helper()
	out := inGuest(p.t, p.inst.ID, "a=$(date +%s%N); systemctl restart web.service; systemctl restart web.service; echo $(( $(date +%s%N) - a )); systemctl reset-failed web.service")
	p.serves(p.first, "two restarts")
	ns, err := strconv.ParseFloat(out, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return max(1, ns/2*5/1e9)
}

func TestASickBuildMakesRoomWithinASecond(t *testing.T) {
	p := followChannel(t, "sick")
	app, err := os.ReadFile(filepath.Join(s.world.Bin, "sampleapp"))
	if err != nil {
		t.Fatal(err)
	}
	// Port 80 is nginx's, and not for the app's user either.
	soon := p.restarts()
	bad := p.push("sick-port", map[string]string{"app": string(app), "web": "#!/bin/sh\nexec ./app -listen 127.0.0.1:80\n"})
	code, said := p.deploy("")
	var took float64
	if at := strings.Index(said, "rolled back to build "+p.first[:12]+" in "); at < 0 {
		t.Fatalf("a build whose port is in use: exit code %s\n%s", code, said)
	} else if _, err := fmt.Sscanf(said[at+len("rolled back to build 123456789012 in "):], "%f s", &took); err != nil || took >= soon || code != "4" {
		t.Errorf("rolled back in %.2f s (%v), exit code %s; want less than %.1f s and 4\n%s", took, err, code, soon, said)
	}
	t.Logf("rolled back %.2f s after the verdict", took)
	p.serves(p.first, "the build whose port is in use")
	var st struct {
		Refused []struct{ Build string } `json:"refused"`
		Deploy  struct{ Error string }   `json:"deploy"`
	}
	if err := json.Unmarshal([]byte(inGuest(t, p.inst.ID, "boot-agent status --json")), &st); err != nil || len(st.Refused) != 1 || st.Refused[0].Build != bad || st.Deploy.Error == "" {
		t.Errorf("the status says %+v (%v)", st, err)
	}
	p.refuses("the same build again", "it was refused here at")
	if code, said := p.deploy("--retry-refused"); code != "4" || !strings.Contains(said, "rolled back") {
		t.Errorf("asked for once more: exit code %s\n%s", code, said)
	}
	p.serves(p.first, "the second attempt")
}

func TestHooksOfAReleaseRunInTheirOwnGroup(t *testing.T) {
	p := followChannel(t, "hooks")
	const say = "#!/bin/sh\necho \"$(basename $0) as $(id -un) in $(cat /proc/self/cgroup)\"\nsleep 1000 &\n"
	good := p.push("hooks-good", map[string]string{".bakehouse/pre-install": say, ".bakehouse/pre-start": say, ".bakehouse/post-start": say, ".bakehouse/verify": say})
	if code, said := p.deploy(""); code != "0" {
		t.Fatalf("exit code %s\n%s", code, said)
	}
	p.serves(good, "the build with hooks")
	for _, name := range []string{"pre-install", "pre-start", "post-start", "verify"} {
		log := inGuest(t, p.inst.ID, "cat /var/log/bakehouse/hooks/web-"+good[:12]+"-"+name+".log")
		if !strings.Contains(log, name+" as web in ") || !strings.Contains(log, "bakehouse-web-hook-"+name+".service") {
			t.Errorf("%s says %q", name, log)
		}
	}
	// Systemd kills them, and does not wait for their end.
	const left = "n=0; while pgrep -fx 'sleep 1000' >/dev/null && [ $n -lt 200 ]; do n=$((n+1)); sleep 0.1; done; pgrep -fxa 'sleep 1000' || true"
	if left := inGuest(t, p.inst.ID, left); left != "" {
		t.Errorf("the hooks' children live on: %s", left)
	}
	p.push("hooks-bad", map[string]string{".bakehouse/verify": "#!/bin/sh\necho wrong answers\nexit 3\n"})
	if code, said := p.deploy(""); code != "4" || !strings.Contains(said, "running hook verify of build") || !strings.Contains(said, "wrong answers") {
		t.Errorf("a build that does not verify: exit code %s\n%s", code, said)
	}
	p.serves(good, "the build that does not verify")
}

func TestTheOldReleaseServesWhenTheDiskOrTheUserFails(t *testing.T) {
	p := followChannel(t, "disk")
	files := map[string]string{}
	for i := range 12000 { // one byte each, and a page of the disk
		files[fmt.Sprintf("many/%d/%d", i%100, i)] = "x"
	}
	p.push("disk-many", files)
	inGuest(t, p.inst.ID, `mkdir /mnt/small && mount -t tmpfs -o size=48m tmpfs /mnt/small && cp -a /srv/web/. /mnt/small && mount --bind /mnt/small /srv/web && systemctl restart web.service`)
	p.serves(p.first, "the move to a small disk")
	p.refuses("a disk that fills up", "no space left on device")
	inGuest(t, p.inst.ID, "mount -o remount,bind,ro /srv/web")
	p.refuses("a read-only file system", "read-only file system")
	inGuest(t, p.inst.ID, "mount -o remount,bind,rw /srv/web && mount -o remount,size=400m /mnt/small && sed -i 's/\"owner\": \"web\"/\"owner\": \"nobody-here\"/' /etc/bakehouse/agent.json")
	p.refuses("a user that does not exist", "nobody-here")
}

// TestALargeBuildOnASmallMachine pulls a build that compression does not help
// in a control group of half a GiB, as large as the smallest instance types. The
// guest's disk is in memory and what the agent writes counts against that limit,
// too; the guest itself has none (see makeCgroup in test/lab/guest).
func TestALargeBuildOnASmallMachine(t *testing.T) {
	p := followChannel(t, "large")
	files := map[string]string{}
	for i := range 10 {
		b := make([]byte, 32<<20)
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
		files[fmt.Sprintf("data/%d", i)] = string(b)
	}
	id := p.push("large-second", files)
	said, err := s.world.Guest(p.ctx, p.inst.ID, "systemd-run --quiet --wait --pipe -p MemoryMax=512M -p MemorySwapMax=0 boot-agent deploy 2>&1")
	if err != nil {
		t.Fatalf("the deploy: %v\n%s", err, said)
	}
	p.serves(id, "the large build")
	var st struct {
		PeakRSSKiB int64 `json:"peak_rss_kib"`
	}
	if err := json.Unmarshal([]byte(inGuest(t, p.inst.ID, "boot-agent status --json")), &st); err != nil || st.PeakRSSKiB == 0 || st.PeakRSSKiB > 200<<10 {
		t.Errorf("peak resident set %d KiB (%v), want at most 200 MiB\n%s", st.PeakRSSKiB, err, said)
	}
	t.Logf("peak resident set %d MiB for a build of %d MiB", st.PeakRSSKiB>>10, 10*32)
}
