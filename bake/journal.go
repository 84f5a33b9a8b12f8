package bake

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

// Kind is a sort of thing that a bake makes.
type Kind string

// The kinds of resources that a bake owns for a while.
const (
	KindInstance      Kind = "instance"
	KindSecurityGroup Kind = "security-group"
	KindImage         Kind = "image"
	KindChefClient    Kind = "chef-client"
	KindChefNode      Kind = "chef-node"
	// Snapshots and volumes belong to an image and an instance; only a sweep
	// meets them alone.
	KindSnapshot Kind = "snapshot"
	KindVolume   Kind = "volume"
)

// Resource is one thing that the bake made, or was about to make.
type Resource struct {
	Kind Kind      `json:"kind"`
	Name string    `json:"name"`         // how to find it when the id never came back
	ID   string    `json:"id,omitempty"` // empty: the create call has not returned
	At   time.Time `json:"at"`
	// Region is that of a copy; empty: the bake's own.
	Region string `json:"region,omitempty"`
}

// Remedy is the command that removes the resource by hand.
func (r Resource) Remedy(region string) string {
	region = cmp.Or(r.Region, region)
	id, missing := r.ID, r.ID == ""
	switch r.Kind {
	case KindInstance:
		if missing {
			return "aws ec2 describe-instances --region " + region + " --filters Name=client-token,Values=" + r.Name
		}
		return "aws ec2 terminate-instances --region " + region + " --instance-ids " + id
	case KindSecurityGroup:
		if missing {
			return "aws ec2 describe-security-groups --region " + region + " --filters Name=group-name,Values=" + r.Name
		}
		return "aws ec2 delete-security-group --region " + region + " --group-id " + id
	case KindImage:
		if missing {
			return "aws ec2 describe-images --region " + region + " --owners self --filters Name=name,Values=" + r.Name
		}
		return "aws ec2 deregister-image --delete-associated-snapshots --region " + region + " --image-id " + id
	case KindSnapshot:
		return "aws ec2 delete-snapshot --region " + region + " --snapshot-id " + id
	case KindVolume:
		return "aws ec2 delete-volume --region " + region + " --volume-id " + id
	case KindChefClient:
		return "knife client delete -y " + r.Name
	case KindChefNode:
		return "knife node delete -y " + r.Name
	}
	return ""
}

// Text names the resource for people.
func (r Resource) Text(region string) string {
	id := r.ID
	if id == "" {
		id = r.Name
	}
	return fmt.Sprintf("%s %s (remove: %s)", r.Kind, id, r.Remedy(region))
}

// journalFile is the journal as it stands on disk.
type journalFile struct {
	BakeID     string     `json:"bake_id"`
	Role       string     `json:"role"`
	Region     string     `json:"region"`
	Account    string     `json:"account"`
	ChefServer string     `json:"chef_server,omitempty"`
	PID        int        `json:"pid"`
	ExpiresAt  time.Time  `json:"expires_at"`
	Kept       bool       `json:"kept,omitempty"` // failed, and left on purpose until it expires
	Resources  []Resource `json:"resources"`
}

// journal is the list of what a bake owns. It is on disk before the bake waits
// for anything, so that what a killed bake leaves can be found. The file goes
// when nothing is owned any more.
type journal struct {
	mu   sync.Mutex
	path string
	file journalFile
	now  func() time.Time
	lock *os.File // held while the bake lives
}

// openJournal makes the journal of a bake in dir/bakes.
func openJournal(dir string, p Plan, now func() time.Time) (*journal, error) {
	return newJournal(dir, journalFile{BakeID: p.BakeID, Role: p.Recipe.Role, Region: p.Launch.Region, Account: p.Launch.Account,
		ChefServer: p.inputs.ChefServerURL, ExpiresAt: p.ExpiresAt}, now)
}

func newJournal(dir string, file journalFile, now func() time.Time) (*journal, error) {
	file.PID = os.Getpid()
	j := &journal{path: filepath.Join(dir, "bakes", file.BakeID+".json"), now: now, file: file}
	if err := os.MkdirAll(filepath.Dir(j.path), 0o700); err != nil {
		return nil, fmt.Errorf("making the journal's folder: %w", err)
	}
	var err error
	if j.lock, err = lockBake(j.path); err != nil {
		return nil, err
	}
	return j, j.write()
}

// intend records that a resource is about to be made.
func (j *journal) intend(kind Kind, name string) error { return j.intendIn("", kind, name) }

func (j *journal) intendIn(region string, kind Kind, name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.find(region, kind, name) < 0 {
		j.file.Resources = append(j.file.Resources, Resource{Kind: kind, Name: name, Region: region, At: j.now().UTC()})
	}
	return j.write()
}

// made records the id that the create call returned.
func (j *journal) made(kind Kind, name, id string) error { return j.madeIn("", kind, name, id) }

func (j *journal) madeIn(region string, kind Kind, name, id string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := j.find(region, kind, name); i >= 0 {
		j.file.Resources[i].ID = id
	}
	return j.write()
}

// gone records that a resource is not ours to remove any more.
func (j *journal) gone(kind Kind, name string) error { return j.goneIn("", kind, name) }

func (j *journal) goneIn(region string, kind Kind, name string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := j.find(region, kind, name); i >= 0 {
		j.file.Resources = slices.Delete(j.file.Resources, i, i+1)
	}
	return j.write()
}

// get returns the entry of a resource, if it is owned.
func (j *journal) get(kind Kind, name string) (Resource, bool) { return j.getIn("", kind, name) }

func (j *journal) getIn(region string, kind Kind, name string) (Resource, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := j.find(region, kind, name); i >= 0 {
		return j.file.Resources[i], true
	}
	return Resource{}, false
}

// copyLedger is the journal as copies to other regions write it.
type copyLedger struct{ *journal }

// Intend records that a copy is about to be made.
func (l copyLedger) Intend(region, name string) error { return l.intendIn(region, KindImage, name) }

// Made records the copy's id.
func (l copyLedger) Made(region, name, id string) error {
	return l.madeIn(region, KindImage, name, id)
}

// Gone records that a copy is not ours to remove any more.
func (l copyLedger) Gone(region, name string) error { return l.goneIn(region, KindImage, name) }

// keep marks what is left as kept on purpose: a sweep waits for its expiry.
func (j *journal) keep() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.file.Kept = true
	return j.write()
}

// remaining lists what is still owned, oldest first.
func (j *journal) remaining() []Resource {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.file.Resources)
}

// close removes the file when nothing is owned. Without its lock, what is
// left of the journal is that of a dead bake, which a sweep works off.
func (j *journal) close() error {
	defer j.lock.Close()
	if len(j.remaining()) > 0 {
		return nil
	}
	for _, path := range []string{lockPath(j.path), savedPath(j.path), j.path} {
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("removing the journal: %w", err)
		}
	}
	return nil
}

func (j *journal) find(region string, kind Kind, name string) int {
	return slices.IndexFunc(j.file.Resources, func(r Resource) bool { return r.Region == region && r.Kind == kind && r.Name == name })
}

// write replaces the file: temporary, synced, renamed, and the folder synced,
// so that a crash leaves the old or the new journal, never half of one.
func (j *journal) write() error {
	b, err := json.MarshalIndent(j.file, "", "  ")
	if err == nil {
		err = replaceFile(j.path, append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing the journal: %w", err)
	}
	return nil
}

func replaceFile(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if serr := f.Sync(); err == nil {
		err = serr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
