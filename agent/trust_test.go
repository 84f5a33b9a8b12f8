package agent

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// testSigner is the key that the test's image trusts.
var testSigner = sync.OnceValue(func() *release.Signer {
	s, err := release.NewSigner()
	if err != nil {
		panic(err)
	}
	return s
})

// sign signs a document with the key that the image trusts.
func (w *world) sign(kind release.Kind, doc []byte) []byte {
	w.t.Helper()
	b, err := testSigner().Sign(kind, doc)
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// replaced swaps the signature of a document for another one.
func (w *world) replaced(kind release.Kind, key string, s *release.Signer) {
	w.t.Helper()
	doc := w.store["s3://builds/"+key]
	b, err := s.Sign(kind, doc[:bytes.LastIndex(doc, []byte(`{"signatures"`))])
	if err != nil {
		w.t.Fatal(err)
	}
	w.store["s3://builds/"+key] = b
}

// unsigned takes the signature off a document.
func (w *world) unsigned(key string) {
	doc := w.store["s3://builds/"+key]
	w.store["s3://builds/"+key] = doc[:bytes.LastIndex(doc, []byte(`{"signatures"`))]
}

func TestWhatNoTrustedKeySignedIsRefused(t *testing.T) {
	t.Parallel()
	channel := release.ChannelKey("web", "production")
	stranger, err := release.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		spoil func(w *world, id release.ID)
		want  string
	}{
		"an unsigned channel":   {func(w *world, _ release.ID) { w.unsigned(channel) }, "channel production of web: it is not signed"},
		"an unsigned manifest":  {func(w *world, id release.ID) { w.unsigned(release.ManifestKey("web", id)) }, "the manifest of build"},
		"a channel signed anew": {func(w *world, _ release.ID) { w.replaced(release.ChannelKind, channel, stranger) }, "unknown key (" + string(stranger.Public().ID())},
		"a manifest signed anew": {func(w *world, id release.ID) {
			w.replaced(release.ManifestKind, release.ManifestKey("web", id), stranger)
		}, "unknown key"},
		"a channel signed as other": {func(w *world, _ release.ID) { w.replaced(release.ManifestKind, channel, testSigner()) }, "changed after it was signed"},
		"a changed channel": {func(w *world, _ release.ID) {
			w.store["s3://builds/"+channel] = bytes.Replace(w.store["s3://builds/"+channel], []byte(`"serial": 2`), []byte(`"serial": 9`), 1)
		}, "changed after it was signed"},
		"a changed manifest": {func(w *world, id release.ID) {
			key := "s3://builds/" + release.ManifestKey("web", id)
			w.store[key] = bytes.Replace(w.store[key], []byte(`"files": 1`), []byte(`"files": 9`), 1)
		}, "changed after it was signed"},
		"the channel of another name": {func(w *world, id release.ID) {
			w.promote("staging", id)
			w.store["s3://builds/"+channel] = w.store["s3://builds/"+release.ChannelKey("web", "staging")]
		}, "it says it is channel staging"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.boot()
			old, restarts := release.ID(w.journal().Build), len(w.runs)
			tc.spoil(w, w.push("second build"))
			err := w.agent().Deploy(context.Background())
			if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), tc.want) || fault.NextOf(err) == "" {
				t.Errorf("error is %v, want %q and a next step", err, tc.want)
			}
			w.serving(old)
			if len(w.runs) != restarts {
				t.Errorf("the app was touched: %q", w.runs[restarts:])
			}
		})
	}
}

func TestAnOldChannelPutBackIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := "s3://builds/" + release.ChannelKey("web", "production")
	w.boot()
	old := w.store[key]
	id := w.push("second build")
	w.deploys()
	w.store[key] = old
	err := w.agent().Deploy(context.Background())
	if fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "it is serial 1, and serial 2 was seen here before") {
		t.Errorf("the old channel: %v", err)
	}
	w.serving(id)
	fork, _ := release.ParseChannel(old)
	b, _ := fork.Next(release.ID(strings.Repeat("ab", 32)), w.now, "").Marshal()
	w.store[key] = w.sign(release.ChannelKind, b)
	if err := w.agent().Deploy(context.Background()); fault.KindOf(err) != fault.Check || !strings.Contains(err.Error(), "serial 2 points at build abababababab, and pointed at") {
		t.Errorf("another channel of the same serial: %v", err)
	}
	w.serving(id)
}

func TestUnsignedBuildsRunWhereTheImageAllowsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.conf.App.AllowUnsigned, w.conf.App.PublicKeys = true, nil
	w.boot() // signed by a key that the image does not know
	id := w.push("second build")
	w.unsigned(release.ChannelKey("web", "production"))
	w.unsigned(release.ManifestKey("web", id))
	w.deploys()
	w.serving(id)
}
