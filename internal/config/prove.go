package config

import "time"

// Prove says how the instance runs that proves an image.
type Prove struct {
	InstanceProfile string        `yaml:"instance_profile" is:"profile" doc:"instance profile that instances of the image run with; the proving one needs it to register"`
	Channel         string        `yaml:"channel" is:"channel" doc:"channel that the proving instance pulls its build from; the image's when left out"`
	Subnet          []string      `yaml:"subnet" is:"subnet" one:"yes" doc:"subnets of the proving instance, by id or by a tag they carry; where the builder ran when left out"`
	Group           string        `yaml:"group" is:"asgroup" doc:"Auto Scaling group whose subnets the proving instance runs in; instead of subnet"`
	Timeout         time.Duration `yaml:"timeout" is:"duration" default:"15m" doc:"a proof that takes longer has failed"`
}

// Checks are what a booted instance of a role must show.
type Checks struct {
	Commands []string      `yaml:"commands" is:"command" doc:"shell commands that must succeed, run as root on the instance"`
	Files    []string      `yaml:"files" is:"remotepath" doc:"paths that must exist"`
	Ports    []string      `yaml:"ports" is:"port" doc:"TCP ports that something must listen on"`
	URLs     []string      `yaml:"urls" is:"url" doc:"must answer with a 2xx or 3xx status; asked on the instance itself"`
	Timeout  time.Duration `yaml:"timeout" is:"duration" default:"30s" doc:"time for each check"`
}
