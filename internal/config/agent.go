package config

import "time"

// Agent says what instances do at first boot.
type Agent struct {
	Environment    map[string]string `yaml:"environment" is:"envvar" doc:"environment of the agent on the instance, such as HTTPS_PROXY; no secrets, it is baked into the image"`
	NodePrefix     string            `yaml:"node_prefix" is:"chefname" doc:"put in front of the instance id to name the Chef node"`
	Tags           []string          `yaml:"tags" is:"cheftag" doc:"Chef tags that every instance's node starts with"`
	RegisterWithin time.Duration     `yaml:"register_within" is:"duration" default:"10m" doc:"time to register with a Chef server that does not answer or is busy; less where launch_hook waits and launch_within leaves less. Then exit code 6, and ABANDON"`
	Attempts       int               `yaml:"attempts" is:"attempts" default:"3" doc:"converge attempts before first boot counts as failed"`
	Timeout        time.Duration     `yaml:"timeout" is:"duration" default:"30m" doc:"time for one converge"`
	OnFailure      string            `yaml:"on_failure" is:"onfailure" default:"fail" doc:"what a converge that failed for good means: first boot fails, or goes on to the app and says so"`

	Drain           string        `yaml:"drain" is:"remotepath" doc:"program on the instance that is run before the app is stopped because the instance leaves"`
	DrainTimeout    time.Duration `yaml:"drain_timeout" is:"duration" default:"1m" doc:"time for it; less when the notice leaves less"`
	OnRebalance     string        `yaml:"on_rebalance" is:"onrebalance" default:"note" doc:"what a rebalance recommendation alone means; an interruption notice always means leave"`
	LeaveAtPoweroff bool          `yaml:"leave_at_poweroff" is:"yesno" default:"false" doc:"deregister at every power-off too, for fleets whose instances are terminated without notice; one that is started again registers again"`

	LaunchHook    string        `yaml:"launch_hook" is:"hook" doc:"launch hook of the Auto Scaling group: kept alive while first boot works, then told CONTINUE or ABANDON"`
	LaunchWithin  time.Duration `yaml:"launch_within" is:"duration" default:"30m" doc:"time for first boot while that hook waits; then ABANDON"`
	TerminateHook string        `yaml:"terminate_hook" is:"hook" doc:"termination hook of the group: told CONTINUE once the instance has left"`
	EMF           string        `yaml:"emf" is:"namespace" doc:"CloudWatch namespace for a line in the embedded metric format per stage, on standard output and so in the journal; none when left out"`

	SignalStack bool `yaml:"signal_stack" is:"yesno" default:"false" doc:"tell the CloudFormation stack that the instance's tags name SUCCESS or FAILURE of first boot, as cfn-signal would"`
}
