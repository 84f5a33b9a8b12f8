// Package cost estimates what a bake costs, from a table of prices that is
// dated and part of the program. It asks nobody, and what is not in the table
// is called unknown, never guessed.
package cost

import (
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"time"
)

//go:embed prices.json
var embedded embed.FS

// minimum is the shortest time that EC2 bills an instance for; above it, it
// bills by the second (Linux; aws.amazon.com/ec2/pricing).
const minimum = 60 * time.Second

// hoursAMonth is what AWS divides monthly prices by.
const hoursAMonth = 730

// Table is a list of prices.
type Table struct {
	AsOf     string                        `json:"as_of"` // year and month
	Currency string                        `json:"currency"`
	Source   string                        `json:"source"`
	Families map[string]map[string]float64 `json:"families"` // sizes, in multiples of the priced one
	Regions  map[string]prices             `json:"regions"`
}

// prices are one region's: an hour of the small size of burstable families, of
// the large size of others, and a month of a GB.
type prices struct {
	Small    map[string]float64 `json:"small"`
	Large    map[string]float64 `json:"large"`
	Volume   map[string]float64 `json:"gb_month"`
	Snapshot float64            `json:"snapshot_gb_month"`
}

// Prices reads the table that is part of the program.
func Prices() (Table, error) {
	var t Table
	b, err := embedded.ReadFile("prices.json")
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil {
		return t, fmt.Errorf("reading the price table: %w", err)
	}
	return t, nil
}

// Usage is what a bake used.
type Usage struct {
	Region    string
	Instances []Instance
	Volumes   []Volume
	Images    []Image
}

// Instance is one instance that ran for a while.
type Instance struct {
	What string // for people: builder, prover
	Type string
	Spot bool
	For  time.Duration
}

// Volume is one volume that was there for a while.
type Volume struct {
	What string
	Type string // gp3, …
	GB   int32  // 0: not known
	For  time.Duration
}

// Image is an image that stays, in any region.
type Image struct {
	Region string
	GB     int32 // of its volumes; 0: not known
}

// Estimate is the price of a bake, and what the image costs from then on.
type Estimate struct {
	Currency string  `json:"currency"`
	AsOf     string  `json:"prices_as_of"`
	Source   string  `json:"source"`
	Once     float64 `json:"once"`    // sum of the known lines that are paid once
	Monthly  float64 `json:"monthly"` // at most, while the images are kept
	Lines    []Line  `json:"lines"`
	Unknown  bool    `json:"incomplete"` // a line's price is not known
	Left     string  `json:"not_counted"`
}

// Line is one part of the price.
type Line struct {
	What    string  `json:"what"`
	How     string  `json:"how"` // how it was reckoned, or why it could not be
	Amount  float64 `json:"amount"`
	Monthly bool    `json:"monthly"`
	Unknown bool    `json:"unknown,omitempty"`
}

// Of estimates the price of what was used.
func (t Table) Of(u Usage) Estimate {
	e := Estimate{Currency: t.Currency, AsOf: t.AsOf, Source: t.Source,
		Left: "data transfer, public addresses, KMS, Systems Manager, discounts and taxes"}
	for _, i := range u.Instances {
		e.add(t.instance(u.Region, i))
	}
	for _, v := range u.Volumes {
		e.add(t.volume(u.Region, v))
	}
	for _, i := range u.Images {
		e.add(t.image(i))
	}
	return e
}

func (e *Estimate) add(l Line) {
	l.Amount = math.Round(l.Amount*1e6) / 1e6
	e.Lines = append(e.Lines, l)
	switch {
	case l.Unknown:
		e.Unknown = true
	case l.Monthly:
		e.Monthly = math.Round((e.Monthly+l.Amount)*1e6) / 1e6
	default:
		e.Once = math.Round((e.Once+l.Amount)*1e6) / 1e6
	}
}

// Hour is what an hour of an instance type costs on demand; false when the
// table has no price.
func (t Table) Hour(region, instanceType string) (float64, bool) {
	family, size, _ := strings.Cut(instanceType, ".")
	r := t.Regions[region]
	if p, ok := r.Small[family]; ok {
		n, ok := t.Families["burstable"][size]
		return p * n, ok
	}
	p, known := r.Large[family]
	n, sized := t.Families["fixed"][size]
	if size == "medium" && !strings.HasSuffix(family, "g") {
		return 0, false // only Graviton families have that size
	}
	return p * n, known && sized
}

func (t Table) instance(region string, i Instance) Line {
	l := Line{What: i.What + " " + i.Type}
	price, ok := t.Hour(region, i.Type)
	if !ok {
		l.Unknown, l.How = true, fmt.Sprintf("unknown: the table has no price for %s in %s", i.Type, region)
		return l
	}
	billed := max(i.For, minimum).Round(time.Second)
	l.Amount = price * billed.Hours()
	l.How = fmt.Sprintf("%s at %s an hour", billed, amount(price))
	if i.Spot {
		l.How = "at most, bought on the spot market: " + l.How
	}
	return l
}

func (t Table) volume(region string, v Volume) Line {
	l := Line{What: v.What + " volume"}
	price, ok := t.Regions[region].Volume[v.Type]
	switch {
	case v.GB == 0:
		l.Unknown, l.How = true, "unknown: the volume's size is not known"
		return l
	case v.Type == "":
		l.Unknown, l.How = true, "unknown: the volume's type is not known"
		return l
	case !ok:
		l.Unknown, l.How = true, fmt.Sprintf("unknown: the table has no price for a volume of type %q in %s", v.Type, region)
		return l
	}
	billed := max(v.For, minimum).Round(time.Second)
	l.Amount = price * float64(v.GB) * billed.Hours() / hoursAMonth
	l.How = fmt.Sprintf("%d GB of %s for %s at %s a GB and month", v.GB, v.Type, billed, amount(price))
	return l
}

func (t Table) image(i Image) Line {
	l := Line{What: "image in " + i.Region, Monthly: true}
	price := t.Regions[i.Region].Snapshot
	switch {
	case i.GB == 0:
		l.Unknown, l.How = true, "unknown: the image's size is not known"
		return l
	case price == 0:
		l.Unknown, l.How = true, "unknown: the table has no price for snapshots in "+i.Region
		return l
	}
	l.Amount = price * float64(i.GB)
	l.How = fmt.Sprintf("at most: %d GB at %s a GB and month; empty blocks cost nothing", i.GB, amount(price))
	return l
}

// Text is the estimate in one line.
func (e Estimate) Text() string {
	if len(e.Lines) == 0 {
		return ""
	}
	known := false
	var unknown []string
	for _, l := range e.Lines {
		if l.Unknown {
			unknown = append(unknown, l.What)
		}
		known = known || !l.Unknown
	}
	if !known {
		return "cost unknown: the price table of " + e.AsOf + " has none of " + strings.Join(unknown, ", ")
	}
	out := fmt.Sprintf("cost about %s %s once, at most %s a month to keep (prices of %s)", amount(e.Once), e.Currency, amount(e.Monthly), e.AsOf)
	if len(unknown) > 0 {
		out += "; unknown: " + strings.Join(unknown, ", ")
	}
	return out
}

// Shown is an amount as people read it.
func (l Line) Shown() string {
	if l.Unknown {
		return "unknown"
	}
	return amount(l.Amount)
}

// OnceShown is what is paid once, as people read it.
func (e Estimate) OnceShown() string { return amount(e.Once) }

// MonthlyShown is what is paid every month, as people read it.
func (e Estimate) MonthlyShown() string { return amount(e.Monthly) }

// amount shows four digits behind the point, or more for a small fraction.
func amount(f float64) string {
	if f > 0 && f < 0.001 {
		return fmt.Sprintf("%.6f", f)
	}
	return fmt.Sprintf("%.4f", f)
}
