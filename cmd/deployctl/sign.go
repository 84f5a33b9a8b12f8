package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// envScheme marks a signing key that stands in an environment variable.
const envScheme = "env:"

func signKeyFlag() cli.Flag {
	return &cli.StringFlag{Name: "sign-key", EnvVars: []string{"BAKEHOUSE_SIGN_KEY"},
		Usage: "sign with the Ed25519 private key in `FILE`, or in the variable that env:NAME names (default: apps.NAME.sign_key of the configuration)"}
}

// signing is commonOf for the commands that sign.
func (d deps) signing(c *cli.Context) (common, error) {
	o, err := d.commonOf(c)
	if err != nil {
		return common{}, err
	}
	where := cliapp.String(c, "sign-key", o.file.SignKey)
	if where == "" {
		return o, nil
	}
	text, err := d.signKey(where)
	if err == nil {
		o.signer, err = release.ParseSigner(text)
	}
	if err != nil {
		return common{}, fault.New(fault.Usage, "deployctl keygen FILE makes a key", fmt.Errorf("reading signing key %s: %w", where, err))
	}
	return o, nil
}

func (d deps) signKey(where string) ([]byte, error) {
	name, ok := strings.CutPrefix(where, envScheme)
	if !ok {
		return os.ReadFile(where)
	}
	if text := d.Getenv(name); text != "" {
		return []byte(text), nil
	}
	return nil, errors.New("the variable is empty")
}

func keygenCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:      "keygen",
		Usage:     "make a signing key in FILE and print its public key",
		ArgsUsage: "FILE",
		Description: "FILE gets the private key (Ed25519, PEM, mode 0600) and must not exist: keep it where builds are made.\n" +
			"stdout gets the public key, for apps.NAME.public_keys: images baked with it accept what the private key signs.\n" +
			"To change keys: bake images with both public keys, roll them out, then push and promote with the new key.",
		Action: func(c *cli.Context) error {
			args, err := cliapp.Arguments(c, "FILE")
			if err != nil {
				return err
			}
			return runKeygen(d, args[0])
		},
	}
}

func runKeygen(d deps, path string) error {
	key, err := release.NewSigner()
	if err != nil {
		return err
	}
	text, err := key.PEM()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.New(fault.Usage, "name a file that does not exist, in a folder that does", fmt.Errorf("writing signing key: %w", err))
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("writing signing key: %w", errors.Join(err, os.Remove(path)))
	}
	if _, err := fmt.Fprintln(d.Stdout, key.Public()); err != nil {
		return fmt.Errorf("printing result: %w", err)
	}
	return nil
}
