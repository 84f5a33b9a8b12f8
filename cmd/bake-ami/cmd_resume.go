package main

import (
	"github.com/urfave/cli/v2"

	"bakehouse/bake"
	"bakehouse/bake/ami"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
)

func resumeCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "resume",
		Usage:     "carry on a bake that ended while its image was being made",
		ArgsUsage: "[BAKE-ID]",
		Description: "A bake that was killed, or that ran out of time while EC2 made the image, has left what it takes to go on\n" +
			"on this machine. Resuming waits for the image, then does what the bake would have done: proof, copies,\n" +
			"publication; and it removes the builder. Without an id it takes the only bake there is. abort removes\n" +
			"everything instead, and so does sweep once it has expired.",
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "report", Usage: "write the report (JSON) to `FILE`, also when the bake fails"},
			&cli.StringFlag{Name: "profile", EnvVars: []string{"AWS_PROFILE"}, Usage: "AWS `PROFILE` to take credentials from"},
			&cli.StringFlag{Name: "chef-client", EnvVars: []string{"CHEF_CLIENT_NAME"}, Usage: "`NAME` to sign as (chef.client_name)"},
			&cli.StringFlag{Name: "chef-key", EnvVars: []string{"CHEF_CLIENT_KEY"}, Usage: "`FILE` with the private key of --chef-client (chef.client_key)"},
			&cli.StringFlag{Name: "state-dir", EnvVars: []string{"BAKEHOUSE_STATE_DIR"}, Usage: "journals of bakes are in `DIR` (default: $XDG_STATE_HOME/bakehouse)"},
			cliapp.ConfigFlag(),
			cliapp.OutputFlag(),
		}, artifactFlags()...),
		Action: d.resume,
	}
}

func (d deps) resume(c *cli.Context) error {
	o, r, err := d.readResume(c)
	if err != nil {
		return err
	}
	reporter := d.Reporter(o.output, d.now)
	defer reporter.Close()
	w, err := d.world(c.Context, &o)
	if err != nil {
		return err
	}
	w.Reporter, w.StateDir = reporter, o.stateDir
	report, err := w.Resume(c.Context, r)
	reporter.Close()
	if report.BakeID == "" {
		return err
	}
	return d.finish(o, report, err)
}

// readResume finds the bake, whose own settings count, and reads what is about
// this machine alone.
func (d deps) readResume(c *cli.Context) (o options, r bake.Resumable, err error) {
	args, err := cliapp.Arguments(c, "[BAKE-ID]")
	if err != nil {
		return o, r, err
	}
	id := args[0]
	if id != "" && !bake.IsBakeID(id) {
		return o, r, cliapp.Usagef("%q is no bake id: 26 capital letters and digits, as in the tag %s", id, ami.TagBakeID)
	}
	if o.output, err = cliapp.OutputOf(c); err != nil {
		return o, r, err
	}
	file, err := d.readFile(c)
	if err != nil {
		return o, r, err
	}
	o.profile, o.report = c.String("profile"), c.String("report")
	o.client, o.keyFile = cliapp.String(c, "chef-client", file.Chef.ClientName), cliapp.String(c, "chef-key", file.Chef.ClientKey)
	if o.files, err = readArtifacts(c); err != nil {
		return o, r, err
	}
	if o.stateDir = c.String("state-dir"); o.stateDir == "" {
		o.stateDir = d.defaultState()
	}
	if o.bucket, err = inventoryBucket(cliapp.String(c, "inventory", file.Image.Inventory)); err != nil {
		return o, r, err
	}
	r, err = bake.FindResumable(o.stateDir, id)
	o.in, o.roles = r.Inputs, []bake.Inputs{r.Inputs}
	if err == nil && r.Inputs.InventoryInS3 && o.bucket.Name == "" {
		err = fault.Newf(fault.Usage, "add --inventory s3://BUCKET/PREFIX as the bake had it", "resuming %s: the bake keeps its inventory in S3, and nothing says where", r.BakeID)
	}
	return o, r, err
}
