package bake

import (
	"cmp"
	"slices"
	"time"

	"bakehouse/bake/cost"
)

// usage reads out of a report what the bake has used. Volumes of the base image
// beyond the root's are not counted, and so is the time before an instance runs:
// EC2 bills from its start on.
func (r Report) usage() cost.Usage {
	u := cost.Usage{Region: r.Region}
	gb := cmp.Or(r.Inputs.RootGB, r.Inputs.Base.RootGB)
	kind := cmp.Or(r.Inputs.Disk.Type, r.Inputs.Base.RootType)
	if from := r.began("launch"); !from.IsZero() {
		u.Instances = append(u.Instances, cost.Instance{What: "builder", Type: r.Launch.InstanceType, Spot: r.Launch.Market == MarketSpot, For: r.ended(awaitStep).Sub(from)})
		u.Volumes = append(u.Volumes, cost.Volume{What: "builder's", Type: kind, GB: gb, For: r.EndedAt.Sub(from)})
	}
	if from := r.began("prove"); !from.IsZero() {
		u.Instances = append(u.Instances, cost.Instance{What: "prover", Type: r.Launch.InstanceType, For: r.ended("prove").Sub(from)})
		u.Volumes = append(u.Volumes, cost.Volume{What: "prover's", Type: kind, GB: gb, For: r.ended("prove").Sub(from)})
	}
	if cmp.Or(r.ImageID, r.Unproven) != "" {
		u.Images = append(u.Images, cost.Image{Region: r.Region, GB: gb})
	}
	for _, c := range r.Copies {
		if c.ImageID != "" && c.Error == "" && !c.Existing {
			u.Images = append(u.Images, cost.Image{Region: c.Region, GB: gb})
		}
	}
	return u
}

// began is when a step began; zero: it did not.
func (r Report) began(step string) time.Time {
	i := slices.IndexFunc(r.Steps, func(s StepTime) bool { return s.Name == step })
	if i < 0 {
		return time.Time{}
	}
	return r.Steps[i].Started
}

// ended is when a step ended well, else the end of the bake: what it was to
// end is billed until then.
func (r Report) ended(step string) time.Time {
	for _, s := range r.Steps {
		if s.Name == step && s.Error == "" {
			return s.Started.Add(time.Duration(s.Seconds * float64(time.Second)))
		}
	}
	return r.EndedAt
}

// estimate puts the price into a report of a bake that used something.
func (r *Report) estimate() {
	u := r.usage()
	if len(u.Instances) == 0 {
		return
	}
	if t, err := cost.Prices(); err == nil { // a test reads the table
		e := t.Of(u)
		r.Cost = &e
	}
}

// Refused reports a bake that was refused before it began.
func Refused(in Inputs, started, ended time.Time, err error, next string) Report {
	r := Report{Result: "refused", Role: in.Role, Region: in.Region, StartedAt: started.UTC(), EndedAt: ended.UTC(),
		Seconds: ended.Sub(started).Seconds(), Inputs: Recipe{Role: in.Role, Environment: in.Environment}, Error: err.Error(), Next: next}
	r.Steps = []StepTime{stepTime(resolveStep, started, ended.Sub(started), err)}
	return r
}
