package bake

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/kms"

	"bakehouse/bake/ami"
	"bakehouse/bake/distribute"
	"bakehouse/internal/fault"
)

// world of several regions: fakes, with a fake EC2 in each.
type regionFakes struct {
	*fakes
	there   map[string]*fakeEC2
	clients map[string]*ec2.Client
	// keys are KMS's, by REGION/KEY; the value is who manages it, or a state.
	keys map[string]string
}

func newRegionFakes(t *testing.T, regions ...string) *regionFakes {
	t.Helper()
	f := &regionFakes{fakes: newFakes(t), there: map[string]*fakeEC2{}, keys: map[string]string{}}
	f.clients = map[string]*ec2.Client{"us-east-1": f.EC2.(*ec2.Client)}
	f.there["us-east-1"] = f.ec2
	for _, r := range regions {
		api, client := newFakeEC2(t)
		api.images = nil
		f.there[r], f.clients[r] = api, client
		f.in.Distribute.Copies = append(f.in.Distribute.Copies, distribute.Target{Region: r})
	}
	f.Regions = func(region string) distribute.EC2 { return f.clients[region] }
	f.KMS = f.kms(t)
	return f
}

// kms speaks DescribeKey's JSON.
func (f *regionFakes) kms(t *testing.T) func(string) distribute.KMS {
	return func(region string) distribute.KMS {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var in struct{ KeyId string }
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			w.Header().Set("Content-Type", "application/x-amz-json-1.1")
			manager, state := f.keys[region+"/"+in.KeyId], "Enabled"
			if manager == "" {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(w, `{"__type":"NotFoundException","message":"no such key"}`)
				return
			}
			if manager == "Disabled" {
				manager, state = "CUSTOMER", manager
			}
			fmt.Fprintf(w, `{"KeyMetadata":{"KeyId":"k","KeyManager":%q,"KeyState":%q}}`, manager, state)
		}))
		t.Cleanup(srv.Close)
		return kms.New(kms.Options{Region: region, BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{},
			Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")})
	}
}

// leftIn lists what exists in all regions, as REGION/ID, and journals.
func (f *regionFakes) leftIn(t *testing.T) []string {
	t.Helper()
	var out []string
	for region, api := range f.there {
		for _, id := range api.owned() {
			out = append(out, region+"/"+id)
		}
	}
	journals, err := filepath.Glob(filepath.Join(f.StateDir, "bakes", "*"))
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return append(append(out, f.chef.names...), journals...)
}

func TestCopiesAreTaggedInTheCallAndKeptLast(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1", "us-west-2")
	f.in.Distribute.Copies[1].KMSKey = "alias/images"
	f.keys["us-west-2/alias/images"] = "CUSTOMER"
	f.in.Protect, f.in.DeprecateAfter = true, 90*24*time.Hour
	var tagged []string
	for r, api := range f.there {
		api.onForm = func(action string, get func(string) string) {
			if action == "CopyImage" {
				tagged = append(tagged, fmt.Sprint(r, " ", strings.Contains(spec(get, 1), ami.TagExpires), strings.Contains(spec(get, 2), ami.TagExpires), get("SourceRegion"), get("KmsKeyId"), get("ClientToken") != ""))
			}
		}
	}
	p := f.plan(t)
	r, err := f.Bake(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(tagged)
	if want := []string{"eu-west-1 true trueus-east-1true", "us-west-2 true trueus-east-1alias/imagestrue"}; !slices.Equal(tagged, want) {
		t.Errorf("copies were asked for as %q, want %q", tagged, want)
	}
	if len(r.Copies) != 2 || r.Copies[0].Region != "eu-west-1" || r.Copies[1].KMSKey != "alias/images" || r.Copies[1].ImageID == "" || len(r.Copies[1].Snapshots) != 1 {
		t.Errorf("the report's copies are %+v", r.Copies)
	}
	for _, region := range []string{"eu-west-1", "us-west-2"} {
		api := f.there[region]
		if len(api.images) != 1 || len(api.snapshots) != 1 {
			t.Fatalf("%s has %v", region, api.owned())
		}
		i := api.images[0]
		if i.name != p.ImageName || i.tags[ami.TagBakeID] != p.BakeID || i.tags[ami.TagCopyOf] != "us-east-1/"+r.ImageID || i.tags[ami.TagDigest] != p.Digest {
			t.Errorf("%s: copy %s carries %v", region, i.name, i.tags)
		}
		if i.tags[ami.TagExpires] != "" || api.snapshots[0].tags[ami.TagExpires] != "" {
			t.Errorf("%s: the finished copy still expires", region)
		}
		if api.called("EnableImageDeprecation") != 1 || api.called("EnableImageDeregistrationProtection") != 1 {
			t.Errorf("%s: calls %v", region, api.calls)
		}
	}
	if got := f.leftIn(t); len(got) != 6 {
		t.Errorf("left are %v, want three images and their snapshots", got)
	}
}

// spec joins the keys of one tag specification.
func spec(get func(string) string, n int) string {
	var keys []string
	for i := 1; get(fmt.Sprintf("TagSpecification.%d.Tag.%d.Key", n, i)) != ""; i++ {
		keys = append(keys, get(fmt.Sprintf("TagSpecification.%d.Tag.%d.Key", n, i)))
	}
	return strings.Join(keys, " ")
}

// Whatever fails in one region, nothing stays in any.
func TestACopyThatFailsLeavesNothingAnywhere(t *testing.T) {
	t.Parallel()
	others := distribute.Audience{Accounts: []string{"444455556666"}}
	for name, c := range map[string]struct {
		action string
		code   string
		kind   fault.Kind
		says   string
	}{
		"the copy is refused":            {"CopyImage", "UnauthorizedOperation", fault.AWS, "to us-west-2"},
		"throttled for good":             {"CopyImage", "RequestLimitExceeded", fault.AWS, "to us-west-2"},
		"the expiry cannot be taken off": {"DeleteTags", "UnauthorizedOperation", fault.AWS, "in us-west-2"},
		"no deprecation":                 {"EnableImageDeprecation", "InvalidParameterValue", fault.AWS, "in us-west-2"},
		"no protection":                  {"EnableImageDeregistrationProtection", "UnauthorizedOperation", fault.AWS, "in us-west-2"},
		"who may use it is not told":     {"DescribeImageAttribute", "UnauthorizedOperation", fault.AWS, "in us-west-2"},
		"the snapshot cannot be shared":  {"ModifySnapshotAttribute", "UnauthorizedOperation", fault.AWS, "in us-west-2"},
		"the image cannot be shared":     {"ModifyImageAttribute", "UnauthorizedOperation", fault.AWS, "in us-west-2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newRegionFakes(t, "eu-west-1", "us-west-2")
			f.in.Protect, f.in.DeprecateAfter, f.in.Distribute.Share = true, 24*time.Hour, others
			p := f.plan(t)
			f.there["us-west-2"].refuse[c.action] = c.code
			r, err := f.Bake(t.Context(), p)
			if fault.KindOf(err) != c.kind || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("error %v, want one of kind %v that says %q", err, c.kind, c.says)
			}
			if left := f.leftIn(t); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if r.ImageID != "" || slices.ContainsFunc(r.Copies, func(c distribute.Copy) bool { return c.ImageID != "" }) {
				t.Errorf("the report names image %q and copies %+v, which are gone", r.ImageID, r.Copies)
			}
		})
	}
}

func TestALostReplyOfACopyIsLookedFor(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1")
	p := f.plan(t)
	api := f.there["eu-west-1"]
	api.lose["CopyImage"] = true
	r, err := f.Bake(t.Context(), p)
	if err != nil || api.called("CopyImage") != 1 || len(r.Copies) != 1 || r.Copies[0].ImageID != api.images[0].id {
		t.Errorf("%v after %d calls, copies %+v", err, api.called("CopyImage"), r.Copies)
	}
}

func TestAnInterruptedCopyIsUndoneInEveryRegion(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"CopyImage", "DescribeImages", "DeleteTags", "ModifyImageAttribute", "ModifySnapshotAttribute"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			f := newRegionFakes(t, "eu-west-1", "us-west-2")
			f.in.Distribute.Share = distribute.Audience{Accounts: []string{"444455556666"}}
			p := f.plan(t)
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			f.there["us-west-2"].onCall = func(action string) {
				if action == at {
					cancel(fault.Newf(fault.Terminated, "", "SIGTERM"))
				}
			}
			_, err := f.Bake(ctx, p)
			if fault.KindOf(err) != fault.Terminated {
				t.Errorf("error %v, want the signal", err)
			}
			if left := f.leftIn(t); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestACopyThatCannotBeRemovedIsListedWithItsRegion(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1", "us-west-2")
	p := f.plan(t)
	f.there["us-west-2"].refuse["DeleteTags"] = "UnauthorizedOperation"
	f.there["eu-west-1"].refuse["DeregisterImage"] = "UnauthorizedOperation"
	r, err := f.Bake(t.Context(), p)
	if err == nil || len(r.Leftover) != 1 {
		t.Fatalf("error %v, left over %+v", err, r.Leftover)
	}
	id := f.there["eu-west-1"].images[0].id
	if want := "aws ec2 deregister-image --delete-associated-snapshots --region eu-west-1 --image-id " + id; r.Leftover[0].Command != want || !strings.Contains(err.Error(), want) {
		t.Errorf("the remedy is %q, want %q in %v", r.Leftover[0].Command, want, err)
	}
	// The journal tells a sweep in which region to look.
	bakes, err := readJournals(f.StateDir)
	if err != nil || len(bakes[p.BakeID].Resources) != 1 || bakes[p.BakeID].Resources[0].Region != "eu-west-1" {
		t.Errorf("journal %+v, %v", bakes[p.BakeID], err)
	}
	f.there["eu-west-1"].refuse = map[string]string{}
	sweep := Sweeper{EC2: func(region string) SweepEC2 { return f.clients[region] }, Reporter: f.reporter, Clock: f.Clock, StateDir: f.StateDir}
	plan, err := sweep.Plan(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sweep.Apply(t.Context(), plan); err != nil || len(f.leftIn(t)) > 0 {
		t.Errorf("after the sweep of\n%sleft are %v, %v", plan.Text(), f.leftIn(t), err)
	}
}

// refusals: nothing is made, and the first line says why.
func TestCopiesAndSharesThatCannotWorkAreRefusedBeforeTheLaunch(t *testing.T) {
	t.Parallel()
	others := distribute.Audience{Accounts: []string{"444455556666"}}
	for says, spoil := range map[string]func(*regionFakes){
		"the copy to eu-west-1 has no key": func(f *regionFakes) { f.in.Disk.Encrypted = true },
		"the account's default key":        func(f *regionFakes) { f.in.Distribute = distribute.Wishes{Share: others}; f.in.Disk.Encrypted = true },
		"alias/aws/ebs is managed by AWS": func(f *regionFakes) {
			f.in.Distribute = distribute.Wishes{Share: others}
			f.in.Disk.KMSKey = "alias/aws/ebs"
		},
		"there is no KMS key alias/none": func(f *regionFakes) { f.in.Distribute.Copies[0].KMSKey = "alias/none" },
		"it is Disabled": func(f *regionFakes) {
			f.in.Distribute.Copies[0].KMSKey = "alias/off"
			f.keys["eu-west-1/alias/off"] = "Disabled"
		},
		"KMS key alias/theirs is managed by": func(f *regionFakes) {
			f.in.Distribute.Copies[0].KMSKey = "alias/theirs"
			f.keys["eu-west-1/alias/theirs"] = "AWS"
			f.in.Distribute.Share = others
		},
		"owns the image":                   func(f *regionFakes) { f.in.Distribute.Share.Accounts = []string{"1"} },
		"which is where the image is made": func(f *regionFakes) { f.in.Region = "eu-west-1" },
		`"web 1" is the name of ami-x in eu-west-1`: func(f *regionFakes) {
			f.in.ImageName = "web 1"
			f.there["eu-west-1"].images = []*thing{{id: "ami-x", name: "web 1", state: "available"}}
		},
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			f := newRegionFakes(t, "eu-west-1")
			spoil(f)
			refusedWith(t, f.fakes, fault.Usage, says)
			for _, api := range f.there {
				if api.called("RunInstances")+api.called("CopyImage")+api.called("CreateSecurityGroup") > 0 {
					t.Errorf("something was made: %v", api.calls)
				}
			}
		})
	}
}

func TestEncryptionThatNobodyAskedForIsFoundBeforeTheLaunch(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1")
	f.ec2.answer = map[string]string{"GetEbsEncryptionByDefault": "<ebsEncryptionByDefault>true</ebsEncryptionByDefault>"}
	refusedWith(t, f.fakes, fault.Usage, "us-east-1 encrypts every volume by default", "has no key")
	f = newRegionFakes(t, "eu-west-1")
	f.in.Distribute.Share.Accounts = []string{"444455556666"}
	f.there["eu-west-1"].answer = map[string]string{"GetEbsEncryptionByDefault": "<ebsEncryptionByDefault>true</ebsEncryptionByDefault>"}
	refusedWith(t, f.fakes, fault.Usage, "eu-west-1 encrypts every volume by default")
}

// An image whose encryption shows only when it is made stays where it is.
func TestAnImageThatTurnsOutEncryptedIsNotCopiedWithoutAKey(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1")
	p := f.plan(t)
	f.ec2.onForm = func(action string, _ func(string) string) {
		if action == "DescribeImages" && len(f.ec2.images) > 1 {
			f.ec2.images[1].params = url.Values{"Encrypted": {"true"}}
		}
	}
	_, err := f.Bake(t.Context(), p)
	if fault.KindOf(err) != fault.Usage || !strings.Contains(fmt.Sprint(err), "the copy to eu-west-1 has no key") || f.there["eu-west-1"].called("CopyImage") > 0 {
		t.Errorf("error %v", err)
	}
	if left := f.leftIn(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestSharesReachEveryRegion(t *testing.T) {
	t.Parallel()
	f := newRegionFakes(t, "eu-west-1")
	const org = "arn:aws:organizations::111122223333:organization/o-abcdefghij"
	f.in.Distribute.Share = distribute.Audience{Accounts: []string{"444455556666"}, Organizations: []string{org}}
	given := map[string][]string{}
	for r, api := range f.there {
		api.onForm = func(action string, get func(string) string) {
			switch action {
			case "ModifySnapshotAttribute":
				given[r] = append(given[r], get("Attribute")+" "+get("UserId.1")+get("UserId.2"))
			case "ModifyImageAttribute":
				if who := get("LaunchPermission.Add.1.UserId"); who != "" {
					given[r] = append(given[r], who+" "+get("LaunchPermission.Add.2.OrganizationArn"))
				}
			}
		}
	}
	r, err := f.Bake(t.Context(), f.plan(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		if want := []string{"createVolumePermission 444455556666", "444455556666 " + org}; !slices.Equal(given[region], want) {
			t.Errorf("%s gave %v, want %v", region, given[region], want)
		}
	}
	if len(r.Shared) != 2 || r.Shared[0].Region != "us-east-1" || len(r.Shared[1].Added) != 2 || len(r.Shared[1].Snapshots) != 1 || len(r.Shared[0].Notes) != 1 {
		t.Errorf("the report says %+v", r.Shared)
	}
}
