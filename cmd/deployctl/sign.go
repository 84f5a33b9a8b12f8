package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"bakehouse/internal/awscfg"
	"bakehouse/internal/cliapp"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// envScheme marks a signing key that stands in an environment variable.
const envScheme = "env:"

func signKeyFlag() cli.Flag {
	return &cli.StringFlag{Name: "sign-key", EnvVars: []string{"BAKEHOUSE_SIGN_KEY"},
		Usage: "sign with the Ed25519 private key in `FILE`, in the variable that env:NAME names, or in KMS: kms:alias/NAME (default: apps.NAME.sign_key of the configuration)"}
}

// signing is commonOf for the commands that sign.
func (d deps) signing(c *cli.Context) (common, error) {
	o, err := d.commonOf(c)
	if err != nil {
		return common{}, err
	}
	return d.withSigner(c, o)
}

// withSigner adds the signing key, where one is named.
func (d deps) withSigner(c *cli.Context, o common) (_ common, err error) {
	where := cliapp.String(c, "sign-key", o.file.SignKey)
	if where == "" {
		return o, nil
	}
	o.signer, err = d.signer(c.Context, where, o.aws)
	return o, err
}

// signer reads the signing key, or asks KMS for it.
func (d deps) signer(ctx context.Context, where string, o awscfg.Options) (*release.Signer, error) {
	if id, ok := strings.CutPrefix(where, kmsScheme); ok {
		service, err := d.kms(ctx, o)
		if err != nil {
			return nil, err
		}
		signer, err := kmsSigner(ctx, service, id)
		if err != nil {
			return nil, keepFault(err, fmt.Errorf("using signing key %s: %w", where, err))
		}
		return signer, nil
	}
	text, err := d.signKey(where)
	var signer *release.Signer
	if err == nil {
		signer, err = release.ParseSigner(text)
	}
	if err != nil {
		return nil, fault.New(fault.Usage, "deployctl keygen FILE makes a key", fmt.Errorf("reading signing key %s: %w", where, err))
	}
	return signer, nil
}

// keepFault is err, wrapped, with kind and next step; a usage error without one.
func keepFault(err, wrapped error) error {
	var known *fault.Error
	if errors.As(err, &known) {
		return wrapped
	}
	return fault.New(fault.Usage, "", wrapped)
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

func publicKeyCommand(d deps) *cli.Command {
	return &cli.Command{
		Name:        "public-key",
		Usage:       "print the public half of the signing key",
		Description: "For apps.NAME.public_keys, when the key lies in KMS or was made elsewhere: deployctl public-key --sign-key kms:alias/builds",
		Flags:       append(commonFlags(""), signKeyFlag()),
		Action: func(c *cli.Context) error {
			if _, err := cliapp.Arguments(c); err != nil {
				return err
			}
			o, _, err := d.settingsOf(c) // a key has no bucket, and no app where it is named
			if err == nil {
				o, err = d.withSigner(c, o)
			}
			if err != nil {
				return err
			}
			if o.signer == nil {
				return cliapp.Usagef("no signing key: give --sign-key, or --app NAME and apps.NAME.sign_key in the configuration")
			}
			if o.output == cliapp.JSON {
				return printJSON(d.Stdout, map[string]string{"public_key": o.signer.Public().String(), "key": string(o.signer.Public().ID())})
			}
			if _, err := fmt.Fprintln(d.Stdout, o.signer.Public()); err != nil {
				return fmt.Errorf("printing result: %w", err)
			}
			return nil
		},
	}
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
