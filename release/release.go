// Package release is the noun that deploy writes and agent reads: a build of
// an app. It says how a tree of files becomes an artefact (Pack) and a tree
// again (Unpack), how the artefact is named and described (ID, Manifest), and
// which object points at the build that is live (Channel).
//
// In the bucket of an app:
//
//	APP/builds/ID/build.tar.zst   the artefact; ID is the SHA-256 of its bytes
//	APP/builds/ID/manifest.json   what it is; written after the artefact, so a build with a manifest is whole
//	APP/channels/NAME.json        which build is live; changed by compare-and-swap only
//	APP/history/NAME/SERIAL.json  the channel as it was, kept before it is replaced
//	APP/pull/NAME/ROLLOUT/…       a rollout that agents carry out by themselves (package waves)
//
// Manifest and channel are signed (Signer, Keyring): the manifest's id is the
// digest of the artefact, so a chain leads from a key in the image to every
// byte that is unpacked.
package release

import (
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"bakehouse/internal/fault"
)

// FileName is the file that the agent writes into an unpacked release: the
// build's id and a newline. A build must not bring one of its own.
const FileName = "RELEASE"

// ID names a build: the SHA-256 of its artefact's bytes in lower-case hex.
type ID string

// ParseID reads a whole id (64 hex digits).
func ParseID(s string) (ID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 32 || strings.ToLower(s) != s {
		return "", fmt.Errorf("parsing build id %q: want 64 lower-case hex digits", s)
	}
	return ID(s), nil
}

// Short returns the first 12 digits, for people.
func (id ID) Short() string { return string(id[:min(12, len(id))]) }

// CheckName refuses names of apps and channels that would not be safe in a
// key, a path or a tag: 1 to 63 of a-z, 0-9, dot, dash and underscore, the
// first a letter or digit. what says in the error whose name it is.
func CheckName(what, name string) error {
	if regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`).MatchString(name) {
		return nil
	}
	return fault.Newf(fault.Usage, "use 1 to 63 of a-z, 0-9, dot, dash and underscore, starting with a letter or digit",
		"checking name of %s: %q is not allowed", what, name)
}

// CheckRollout refuses what is no id of a rollout: 12 hex digits.
func CheckRollout(id string) error {
	if regexp.MustCompile(`^[0-9a-f]{12}$`).MatchString(id) {
		return nil
	}
	return fault.Newf(fault.Usage, "copy it from the output of the rollout", "reading rollout %q: want the 12 digits of an id", id)
}

// BuildsPrefix is what the keys of all builds of app begin with.
func BuildsPrefix(app string) string { return app + "/builds/" }

// ArtifactKey is the key of a build's artefact.
func ArtifactKey(app string, id ID) string { return BuildsPrefix(app) + string(id) + "/build.tar.zst" }

// ManifestKey is the key of a build's manifest.
func ManifestKey(app string, id ID) string { return BuildsPrefix(app) + string(id) + "/manifest.json" }

// ChannelsPrefix is what the keys of all channels of app begin with.
func ChannelsPrefix(app string) string { return app + "/channels/" }

// ChannelKey is the key of a channel.
func ChannelKey(app, channel string) string { return ChannelsPrefix(app) + channel + ".json" }

// HistoryPrefix is what the keys of a channel's earlier states begin with; with
// channel empty, those of all channels of app.
func HistoryPrefix(app, channel string) string {
	if channel == "" {
		return app + "/history/"
	}
	return app + "/history/" + channel + "/"
}

// HistoryKey is the key of a channel as it was with that serial. Keys sort as
// serials do.
func HistoryKey(app, channel string, serial int64) string {
	return fmt.Sprintf("%s%012d.json", HistoryPrefix(app, channel), serial)
}
