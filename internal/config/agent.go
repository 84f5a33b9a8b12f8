package config

import "time"

// Agent says what instances do at first boot.
type Agent struct {
	Environment    map[string]string `yaml:"environment" is:"envvar" doc:"environment of the agent on the instance, such as HTTPS_PROXY; no secrets, it is baked into the image"`
	NodePrefix     string            `yaml:"node_prefix" is:"chefname" doc:"put in front of the instance id to name the Chef node"`
	RegisterWithin time.Duration     `yaml:"register_within" is:"duration" default:"10m" doc:"time to register with a Chef server that does not answer or is busy"`
	Attempts       int               `yaml:"attempts" is:"attempts" default:"3" doc:"converge attempts before first boot counts as failed"`
	Timeout        time.Duration     `yaml:"timeout" is:"duration" default:"30m" doc:"time for one converge"`
	OnFailure      string            `yaml:"on_failure" is:"onfailure" default:"fail" doc:"what a converge that failed for good means: first boot fails, or goes on to the app and says so"`
}
