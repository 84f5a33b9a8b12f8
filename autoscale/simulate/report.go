package simulate

import "time"

// Report is a result for machines. Times are in seconds, sizes in capacity
// units, costs in USD.
type Report struct {
	Group   string       `json:"group"`
	Start   time.Time    `json:"start"`
	Seconds float64      `json:"seconds"`
	Step    float64      `json:"step"`
	Boot    float64      `json:"boot"`
	Seed    uint64       `json:"seed"`
	Demand  string       `json:"demand"`
	Spot    string       `json:"spot"`
	Pools   []string     `json:"pools"`
	Losses  int          `json:"pool_losses"`
	Modes   []ReportMode `json:"modes"`
	Notes   []string     `json:"notes"`
}

// ReportMode is one mode of a Report.
type ReportMode struct {
	Mode         Mode           `json:"mode"`
	OnDemand     float64        `json:"on_demand_unit_hours"`
	Spot         float64        `json:"spot_unit_hours"`
	Starting     float64        `json:"starting_unit_hours"`
	Instances    float64        `json:"instance_hours"`
	Interrupted  int            `json:"interrupted_instances"`
	Launches     int            `json:"launched_instances"`
	Peak         int            `json:"peak_units"`
	ShortMinutes float64        `json:"short_unit_minutes"`
	ShortSeconds float64        `json:"short_seconds"`
	ShortWorst   float64        `json:"short_worst"`
	Longest      ReportWindow   `json:"short_longest"`
	QueueMost    float64        `json:"queue_most,omitempty"`
	QueueSeconds float64        `json:"queue_seconds,omitempty"`
	AnswerMean   float64        `json:"answer_mean_seconds,omitempty"`
	AnswerWorst  float64        `json:"answer_worst_seconds,omitempty"`
	AnswerOver   float64        `json:"answer_over_target_seconds,omitempty"`
	CostOnDemand float64        `json:"cost_on_demand"`
	CostSpot     float64        `json:"cost_spot"`
	CostUnknown  []string       `json:"cost_unknown"`
	Promise      *ReportPromise `json:"promise,omitempty"`
}

// ReportWindow is a stretch of time of a Report.
type ReportWindow struct {
	From    float64 `json:"from"`
	To      float64 `json:"to"`
	Worst   float64 `json:"worst"`
	Percent float64 `json:"percent"`
	Losses  int     `json:"losses"`
}

// ReportPromise is a verdict of a Report.
type ReportPromise struct {
	Text    string       `json:"text"`
	Kept    bool         `json:"kept"`
	Broken  int          `json:"broken"`
	Outside int          `json:"not_covered"`
	Worst   ReportWindow `json:"worst"`
}

func (w Window) report() ReportWindow {
	return ReportWindow{w.From.Seconds(), w.To.Seconds(), w.Worst, w.Share, w.Losses}
}

// Report gives r for machines.
func (r Result) Report(a About) Report {
	out := Report{Group: r.Group, Start: r.Start, Seconds: r.For.Seconds(), Step: r.Step.Seconds(), Boot: r.Boot.Seconds(), Seed: a.Seed, Demand: a.Demand, Spot: a.Spot,
		Losses: r.Losses, Notes: append([]string{}, r.Notes...)}
	for _, p := range r.Pools {
		out.Pools = append(out.Pools, p.Name())
	}
	for _, m := range r.Modes {
		one := ReportMode{Mode: m.Mode, OnDemand: m.OnDemand, Spot: m.Spot, Starting: m.Starting, Instances: m.Instances, Interrupted: m.Interrupted, Launches: m.Launches,
			Peak: m.Peak, ShortMinutes: m.Short.UnitMinutes, ShortSeconds: m.Short.Time.Seconds(), ShortWorst: m.Short.Worst, Longest: m.Short.Longest.report(),
			CostOnDemand: m.Cost.OnDemand, CostSpot: m.Cost.Spot, CostUnknown: append([]string{}, m.Cost.Unknown...)}
		if q := m.Queue; q != nil {
			one.QueueMost, one.QueueSeconds = q.Most, q.Wait.Seconds()
		}
		if a := m.Answers; a != nil {
			one.AnswerMean, one.AnswerWorst, one.AnswerOver = a.Mean().Seconds(), a.Worst.Seconds(), a.Over.Seconds()
		}
		if v := m.Verdict; v != nil {
			one.Promise = &ReportPromise{v.Promise.Text(), v.Kept, v.Broken, v.Outside, v.Worst.report()}
		}
		out.Modes = append(out.Modes, one)
	}
	return out
}
