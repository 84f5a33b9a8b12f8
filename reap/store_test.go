package reap

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"bakehouse/internal/fault"
)

func TestFilesWriteOnlyWhatWasRead(t *testing.T) {
	t.Parallel()
	ctx, f := context.Background(), Files{Dir: t.TempDir() + "/state"}
	none, err := f.Read(ctx, "ledger.json")
	if err != nil || none.Version != "" {
		t.Fatalf("nothing reads as %+v, %v", none, err)
	}
	one, err := f.Write(ctx, "ledger.json", "", []byte("1"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(ctx, "ledger.json", "", []byte("2")); !errors.Is(err, ErrTaken) {
		t.Errorf("writing what is there already gives %v", err)
	}
	if _, err := f.Write(ctx, "ledger.json", one, []byte("2")); err != nil {
		t.Error(err)
	}
	if _, err := f.Write(ctx, "ledger.json", one, []byte("3")); !errors.Is(err, ErrTaken) {
		t.Errorf("writing over another's version gives %v", err)
	}
	if _, err := f.Write(ctx, "saves/r/a.json", "", nil); err != nil {
		t.Error(err)
	}
	names, err := f.List(ctx, "saves/")
	if err != nil || !slices.Equal(names, []string{"saves/r/a.json"}) {
		t.Errorf("listed %v, %v", names, err)
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
