package cost

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func table(t *testing.T) Table {
	t.Helper()
	p, err := Prices()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPricesOfAnHour(t *testing.T) {
	t.Parallel()
	p := table(t)
	for key, want := range map[string]float64{
		"us-east-1 t3.small": 0.0208, "us-east-1 t3.nano": 0.0052, "us-east-1 t3.medium": 0.0416, "us-east-1 t3.2xlarge": 0.3328,
		"us-east-1 m5.large": 0.096, "us-east-1 m5.2xlarge": 0.384, "us-east-1 c7i.large": 0.08925, "us-east-1 m6g.medium": 0.0385,
		"eu-west-1 t3.micro": 0.0114, "eu-central-1 m5.xlarge": 0.23, "ap-southeast-2 c5.large": 0.111,
	} {
		region, typ, _ := strings.Cut(key, " ")
		if got, ok := p.Hour(region, typ); !ok || math.Abs(got-want) > 1e-9 {
			t.Errorf("%s costs %v (%t), want %v", key, got, ok, want)
		}
	}
	for _, key := range []string{"us-east-1 p5.48xlarge", "us-east-1 m5.medium", "us-east-1 m5.24xlarge", "us-east-1 t3.metal", "us-east-1 t3", "us-east-1 ",
		"mars-1 t3.small", " t3.small", "eu-west-1 t3a.small", "us-east-1 m5.nano"} {
		region, typ, _ := strings.Cut(key, " ")
		if got, ok := p.Hour(region, typ); ok {
			t.Errorf("%q is guessed at %v", key, got)
		}
	}
}

func TestTheSumIsThatOfItsLines(t *testing.T) {
	t.Parallel()
	e := table(t).Of(Usage{Region: "us-east-1",
		Instances: []Instance{{"builder", "t3.small", false, 30 * time.Minute}, {"prover", "m5.large", false, 10 * time.Second}, {"other", "m5.large", true, time.Hour}},
		Volumes:   []Volume{{"builder", "gp3", 73, 10 * time.Hour}},
		Images:    []Image{{"us-east-1", 20}, {"eu-central-1", 20}}})
	want := []float64{0.0104, 0.0016, 0.096, 0.08, 1, 1.08}
	for i, l := range e.Lines {
		if math.Abs(l.Amount-want[i]) > 1e-6 || l.Unknown {
			t.Errorf("%s: %v, want %v (%s)", l.What, l.Amount, want[i], l.How)
		}
	}
	if math.Abs(e.Once-0.188) > 1e-6 || math.Abs(e.Monthly-2.08) > 1e-6 || e.Unknown {
		t.Errorf("once %v, monthly %v, incomplete %t", e.Once, e.Monthly, e.Unknown)
	}
	if !strings.Contains(e.Lines[1].How, "1m0s") {
		t.Errorf("less than a minute is billed as a minute: %s", e.Lines[1].How)
	}
	if !strings.HasPrefix(e.Lines[2].How, "at most") {
		t.Errorf("a spot price is not known: %s", e.Lines[2].How)
	}
	if got := e.Text(); got != "cost about 0.1880 USD once, at most 2.0800 a month to keep (prices of 2025-01)" {
		t.Error(got)
	}
}

func TestWhatIsNotInTheTableIsUnknown(t *testing.T) {
	t.Parallel()
	e := table(t).Of(Usage{Region: "eu-north-1", Instances: []Instance{{"builder", "t3.small", false, time.Hour}},
		Volumes: []Volume{{"builder", "gp3", 8, time.Hour}, {"x", "gp3", 0, time.Hour}}, Images: []Image{{"eu-north-1", 8}, {"us-east-1", 0}}})
	if e.Once != 0 || e.Monthly != 0 || !e.Unknown || slices.ContainsFunc(e.Lines, func(l Line) bool {
		return !l.Unknown || !strings.HasPrefix(l.How, "unknown: ") || l.Shown() != "unknown"
	}) {
		t.Errorf("%+v", e)
	}
	if got := e.Text(); !strings.HasPrefix(got, "cost unknown") || !strings.Contains(got, "builder t3.small") {
		t.Error(got)
	}
	half := table(t).Of(Usage{Region: "us-east-1", Instances: []Instance{{"builder", "x9.huge", false, time.Hour}}, Images: []Image{{"us-east-1", 8}}})
	if got := half.Text(); !strings.Contains(got, "unknown: builder x9.huge") || !strings.Contains(got, "0.4000 a month") {
		t.Error(got)
	}
	if (Estimate{}).Text() != "" {
		t.Error("nothing used has a text")
	}
}

func TestTheTableIsWhole(t *testing.T) {
	t.Parallel()
	p := table(t)
	if p.AsOf == "" || p.Source == "" || p.Currency == "" || len(p.Regions) < 5 {
		t.Fatalf("%+v", p)
	}
	for name, r := range p.Regions {
		if r.Snapshot <= 0 || r.Volume["gp3"] <= 0 || len(r.Small) == 0 || len(r.Large) == 0 {
			t.Errorf("%s lacks a price: %+v", name, r)
		}
	}
}
