package deploy

import (
	"context"
	"errors"
	"fmt"

	"bakehouse/internal/fault"
	"bakehouse/release"
)

// signed returns body with our signature, or as it is when we have no key.
func (p *Publisher) signed(kind release.Kind, body []byte) ([]byte, error) {
	if p.Signer == nil {
		return body, nil
	}
	return p.Signer.Sign(kind, body)
}

// has says whether doc carries what we would add to it: our signature, or
// nothing when we have no key.
func (p *Publisher) has(kind release.Kind, doc []byte) bool {
	if p.Signer == nil {
		return true
	}
	_, err := release.Keyring{p.Signer.Public()}.Verify(kind, doc)
	return err == nil
}

// adopt returns the manifest that an earlier push wrote, and adds our signature
// where that push had another key, or none. It must describe what was packed
// now: nobody may have us sign other bounds for these bytes.
func (p *Publisher) adopt(ctx context.Context, ours release.Manifest) (release.Manifest, error) {
	there, doc, err := p.manifest(ctx, ours.App, ours.ID)
	if err != nil {
		return release.Manifest{}, err
	}
	key := release.ManifestKey(ours.App, ours.ID)
	if there.Size != ours.Size || there.UnpackedSize != ours.UnpackedSize || there.Files != ours.Files {
		return release.Manifest{}, fault.Newf(fault.Check, "find out who writes to the bucket, delete the object, and push again",
			"checking s3://%s/%s: it says %d bytes, %d unpacked, %d entries; the build has %d, %d, %d",
			p.Bucket, key, there.Size, there.UnpackedSize, there.Files, ours.Size, ours.UnpackedSize, ours.Files)
	}
	if p.has(release.ManifestKind, doc.body) {
		return there, nil
	}
	body, err := p.signed(release.ManifestKind, doc.body)
	if err != nil {
		return release.Manifest{}, err
	}
	err = p.write(ctx, key, doc.etag, body)
	if errors.Is(err, errTaken) {
		// Our own write, its reply lost, looks the same.
		if now, doc, rerr := p.manifest(ctx, ours.App, ours.ID); rerr == nil && p.has(release.ManifestKind, doc.body) {
			return now, nil
		}
		err = fault.New(fault.Check, "push again", fmt.Errorf("signing s3://%s/%s: it changed meanwhile: %w", p.Bucket, key, err))
	}
	return there, err
}

// checkManifest refuses to promote a build that instances with our key would
// refuse.
func (p *Publisher) checkManifest(m release.Manifest, doc document) error {
	if p.has(release.ManifestKind, doc.body) {
		return nil
	}
	return fault.Newf(fault.Check, "push the build again with --sign-key, which adds the signature",
		"the manifest of build %s carries no good signature of key %s", m.ID.Short(), p.Signer.Public().ID())
}

// checkChannel refuses to take the signature off a channel: instances that ask
// for one would stop following it.
func (p *Publisher) checkChannel(c release.Channel, doc document) error {
	if p.Signer != nil || !release.Signed(doc.body) {
		return nil
	}
	return fault.Newf(fault.Usage, "give --sign-key FILE, or apps."+c.App+".sign_key in the configuration",
		"channel %s of %s is signed, and no signing key is given", c.Name, c.App)
}

// next returns the channel that want asks for, and its document. A build that is
// live already, under a signature that is not ours, gets ours in addition.
func (p *Publisher) next(now release.Channel, doc document, want Promotion) (release.Channel, []byte, error) {
	if now.Build == want.Build {
		body, err := p.signed(release.ChannelKind, doc.body)
		return now, body, err
	}
	next := now.Next(want.Build, p.now(), want.By)
	body, err := next.Marshal()
	if err == nil {
		body, err = p.signed(release.ChannelKind, body)
	}
	return next, body, err
}
