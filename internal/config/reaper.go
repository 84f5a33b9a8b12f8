package config

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"
)

// Reaper says what chef-reaper may remove, and how much of it at once.
type Reaper struct {
	Regions      []string                 `yaml:"regions" is:"region" doc:"regions to read; the one of region when left out"`
	Accounts     map[string]ReaperAccount `yaml:"accounts" is:"app"`
	MinAge       time.Duration            `yaml:"min_age" is:"duration" default:"10m" doc:"nothing that was launched or converged more recently is touched"`
	Grace        time.Duration            `yaml:"grace" is:"duration" default:"1h" doc:"how long an instance must be absent from EC2's answers before that counts as gone; at least min_age"`
	MaxDeletions int                      `yaml:"max_deletions" is:"deletions" default:"100" doc:"a run that would delete more deletes nothing"`
	MaxPercent   int                      `yaml:"max_percent" is:"percent" default:"30" doc:"the same, in percent of our nodes; up to 3 deletions are free of it"`
	MinLive      string                   `yaml:"min_live" is:"floor" default:"1" doc:"with fewer live nodes than that nothing is deleted"`
	Ohai         string                   `yaml:"ohai" is:"ohai" default:"ignore" doc:"believe ec2.instance_id of ohai on nodes without our marker"`
	NamePattern  string                   `yaml:"name_pattern" is:"namepattern" doc:"nodes without a marker whose name matches are candidates; the group is the instance id"`
	State        string                   `yaml:"state" is:"place" doc:"where the ledger and the lease are kept: s3://BUCKET/PREFIX or a folder; in $XDG_STATE_HOME/bakehouse/reaper when left out"`
	Saves        string                   `yaml:"saves" is:"place" doc:"where everything removed is saved first; in state when left out"`
	StatusFile   string                   `yaml:"status_file" is:"path" doc:"gets the last run's outcome as JSON, for monitoring"`
	Queue        string                   `yaml:"queue" is:"url" doc:"URL of an SQS queue; a message in it makes the next run start at once"`
}

// ReaperAccount is one further AWS account to read.
type ReaperAccount struct {
	ID         string `yaml:"id" is:"account" doc:"account that the role must belong to"`
	RoleARN    string `yaml:"role_arn" is:"rolearn" doc:"role to assume there; it needs ec2:DescribeInstances alone; the caller's own account when left out"`
	ExternalID string `yaml:"external_id" is:"externalid" doc:"external id that the role's trust policy asks for"`
}

// reaperChecks are the kinds of values that only the reaper's section has.
func reaperChecks() map[string]check {
	return map[string]check{
		"deletions":   between(1, 1_000_000),
		"percent":     between(1, 100),
		"floor":       between(0, 1_000_000),
		"ohai":        among("ignore", "believe"),
		"namepattern": {what: "pattern with one group, as ^web-(i-[0-9a-f]+)$", bad: badNamePattern},
		"place":       {what: "s3://BUCKET[/PREFIX] or path", bad: badPlace},
		"account":     like("AWS account id (12 digits, in quotes if it begins with 0)", `[0-9]{12}`),
		"rolearn":     like("ARN of an IAM role", `arn:[a-z-]+:iam::[0-9]{12}:role/.+`),
		"externalid":  like("external id", `[A-Za-z0-9+=,.@:/-]{2,1000}`),
	}
}

func badNamePattern(s string) bool {
	re, err := regexp.Compile(s)
	return err != nil || re.NumSubexp() != 1
}

// PlaceError says what is wrong with a place that a flag or a variable names,
// by the rule of reaper.state and reaper.saves.
func PlaceError(s string) error {
	if badPlace(s) {
		return fmt.Errorf("%q is no place: want %s", s, reaperChecks()["place"].what)
	}
	return nil
}

func badPlace(s string) bool {
	rest, s3 := strings.CutPrefix(s, "s3://")
	if !s3 {
		return s == "" || strings.Contains(s, "://")
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	return !regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`).MatchString(bucket) ||
		prefix != "" && path.Clean("/"+prefix) != "/"+strings.TrimSuffix(prefix, "/")
}
