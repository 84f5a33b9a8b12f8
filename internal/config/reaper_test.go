package config

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bakehouse/internal/fault"
)

const reaperSample = `reaper:
  regions: [eu-west-1, us-east-1]
  accounts:
    shop: {id: "012345678901", role_arn: "arn:aws:iam::012345678901:role/reaper", external_id: bakehouse}
  min_age: 5m
  grace: 30m
  max_deletions: 50
  max_percent: 20
  min_live: 0
  ohai: believe
  name_pattern: ^web-(i-[0-9a-f]+)$
  state: s3://acme-reaper/prod
  saves: saved
  status_file: /run/reaper.json
  queue: https://sqs.eu-west-1.amazonaws.com/012345678901/ends
`

func reaperWanted(dir string) Reaper {
	return Reaper{
		Regions:  []string{"eu-west-1", "us-east-1"},
		Accounts: map[string]ReaperAccount{"shop": {"012345678901", "arn:aws:iam::012345678901:role/reaper", "bakehouse"}},
		MinAge:   5 * time.Minute, Grace: 30 * time.Minute, MaxDeletions: 50, MaxPercent: 20, MinLive: "0", Ohai: "believe",
		NamePattern: "^web-(i-[0-9a-f]+)$", State: "s3://acme-reaper/prod", Saves: filepath.Join(dir, "saved"),
		StatusFile: "/run/reaper.json", Queue: "https://sqs.eu-west-1.amazonaws.com/012345678901/ends",
	}
}

func TestReaperRefusesWhatCannotBeRight(t *testing.T) {
	t.Parallel()
	for _, line := range []string{
		"max_percent: 0", "max_deletions: none", "min_live: -1", "ohai: maybe", "name_pattern: web", "name_pattern: (a)(b)",
		"state: gs://bucket", "state: s3://B", "state: s3://bucket/a/../b", "accounts: {shop: {id: 1}}", "accounts: {shop: {role_arn: reaper}}",
	} {
		key, _, _ := strings.Cut(line, ":")
		_, _, err := load(t, "reaper:\n  "+line+"\n")
		if fault.KindOf(err) != fault.Usage || !strings.Contains(err.Error(), "bakehouse.yaml:2") || !strings.Contains(err.Error(), key) {
			t.Errorf("%s gives %v", line, err)
		}
	}
}
