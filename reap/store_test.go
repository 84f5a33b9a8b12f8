package reap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"bakehouse/internal/fault"
)

// stores are both implementations, empty: a folder, and S3 behind HTTP.
func stores(t *testing.T) map[string]Store {
	t.Helper()
	_, bucket := newFakeS3(t)
	return map[string]Store{"a folder": Files{Dir: t.TempDir() + "/state"}, "S3": bucket}
}

// TestStores holds both against one meaning.
func TestStores(t *testing.T) {
	t.Parallel()
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			meaning(t, s)
		})
	}
}

// meaning is the suite for any empty Store.
func meaning(t *testing.T, s Store) {
	t.Helper()
	ctx := context.Background()
	none, err := s.Read(ctx, "ledger.json")
	if err != nil || none.Version != "" {
		t.Fatalf("nothing reads as %+v, %v", none, err)
	}
	one, err := s.Write(ctx, "ledger.json", "", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	if doc, err := s.Read(ctx, "ledger.json"); err != nil || string(doc.Body) != "1" || doc.Version != one {
		t.Errorf("what was written reads as %+v, %v; want version %s", doc, err, one)
	}
	if _, err := s.Write(ctx, "ledger.json", "", []byte("2")); !errors.Is(err, ErrTaken) {
		t.Errorf("writing what is there already gives %v", err)
	}
	if _, err := s.Write(ctx, "ledger.json", one, []byte("2")); err != nil {
		t.Error(err)
	}
	if _, err := s.Write(ctx, "ledger.json", one, []byte("3")); !errors.Is(err, ErrTaken) {
		t.Errorf("writing over another's version gives %v", err)
	}
	if _, err := s.Write(ctx, "gone.json", one, []byte("3")); !errors.Is(err, ErrTaken) {
		t.Errorf("replacing what is not there gives %v", err)
	}
	for _, n := range []string{"saves/r/b.json", "saves/r/a.json", "saves/q/c.json"} {
		if _, err := s.Write(ctx, n, "", []byte("{}")); err != nil {
			t.Error(err)
		}
	}
	names, err := s.List(ctx, "saves/")
	if err != nil || !slices.Equal(names, []string{"saves/q/c.json", "saves/r/a.json", "saves/r/b.json"}) {
		t.Errorf("listed %v, %v", names, err)
	}
	if names, err := s.List(ctx, "nothing/"); err != nil || len(names) > 0 {
		t.Errorf("listed %v, %v where nothing is", names, err)
	}
}

// TestStoresLetOneOfManyWrite has several writers of one version at once.
func TestStoresLetOneOfManyWrite(t *testing.T) {
	t.Parallel()
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var won atomic.Int32
			var wg sync.WaitGroup
			for n := range 8 {
				wg.Go(func() {
					_, err := s.Write(context.Background(), "lease.json", "", fmt.Append(nil, n))
					switch {
					case err == nil:
						won.Add(1)
					case !errors.Is(err, ErrTaken):
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if won.Load() != 1 {
				t.Errorf("%d writers won, want 1", won.Load())
			}
		})
	}
}

func TestBucketOutlivesLostRepliesAndConflicts(t *testing.T) {
	t.Parallel()
	f, b := newFakeS3(t)
	ctx := context.Background()
	f.lost = 1 // the SDK repeats the PUT, which then meets its own object
	one, err := b.Write(ctx, "lease.json", "", []byte("mine"))
	if err != nil || one == "" {
		t.Fatalf("a PUT whose reply was lost gives %q, %v", one, err)
	}
	f.conflicts = 2
	if _, err := b.Write(ctx, "lease.json", one, []byte("again")); err != nil {
		t.Errorf("two conflicts give %v", err)
	}
}

func TestBucketSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	f, b := newFakeS3(t)
	ctx := context.Background()
	f.refuse = "AccessDenied"
	if _, err := b.Read(ctx, "ledger.json"); fault.KindOf(err) != fault.AWS || !strings.Contains(fault.NextOf(err), "s3:GetObject") {
		t.Errorf("reading without the right gives %v, next %q", err, fault.NextOf(err))
	}
	if _, err := b.Write(ctx, "ledger.json", "", nil); !strings.Contains(fault.NextOf(err), "s3:PutObject") {
		t.Errorf("writing without the right gives %v, next %q", err, fault.NextOf(err))
	}
	if _, err := b.List(ctx, "saves/"); !strings.Contains(fault.NextOf(err), "s3:ListBucket") {
		t.Errorf("listing without the right gives %v, next %q", err, fault.NextOf(err))
	}
	b.Name, f.refuse = "nowhere", ""
	if _, err := b.Read(ctx, "ledger.json"); fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "no such bucket") {
		t.Errorf("a bucket that is not there gives %v", err)
	}
}

func TestADamagedLedgerIsSaid(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"{", `{"version":7}`} {
		if _, err := parseLedger([]byte(text)); fault.KindOf(err) != fault.Check || fault.NextOf(err) == "" {
			t.Errorf("%s gives %v", text, err)
		}
	}
}

func TestMetricsNameEachNumber(t *testing.T) {
	t.Parallel()
	line, err := Status{Outcome: "ok", Removed: 2, Counts: Counts{Live: 3, ByReason: map[Reason]int{Young: 4}}}.Metrics()
	var doc map[string]any
	if err := errors.Join(err, json.Unmarshal(line, &doc)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"Live": 3, "Reaped": 2, "Skipped_young": 4} {
		if doc[name] != want {
			t.Errorf("%s is %v, want %v", name, doc[name], want)
		}
	}
}
