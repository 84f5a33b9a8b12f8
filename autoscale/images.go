package autoscale

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"bakehouse/bake/ami"
)

// Image is what a reference to an image in the file stands for now.
type Image struct {
	ID      string // "" when there is none
	From    string // where the id comes from; "" when the file has the id itself
	Missing string // why there is none
}

// The ways to refer to an image, beside its id. What begins with
// resolve:ssm: is resolved by EC2 at each launch and left as it is.
const (
	byParameter = "ssm:"
	byRole      = "role:"
	atLaunch    = "resolve:ssm:"
)

// references lists what the file calls images by, each once.
func references(s Spec) []string {
	all := map[string]bool{}
	for _, g := range s.Groups {
		if l := g.Launch; l != nil && l.Image != nil {
			all[*l.Image] = true
		}
		for _, o := range val(g.Mixed).Types {
			if o.Image != nil {
				all[*o.Image] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// images finds out what the references of the file stand for.
func (r reader) images(ctx context.Context) error {
	var ids, names, roles []string
	for _, ref := range references(r.s) {
		if name, ok := strings.CutPrefix(ref, byParameter); ok {
			names = append(names, name)
		} else if role, ok := strings.CutPrefix(ref, byRole); ok {
			roles = append(roles, role)
		} else if strings.HasPrefix(ref, atLaunch) {
			r.o.Images[ref] = Image{ID: ref}
		} else {
			ids = append(ids, ref)
			r.o.Images[ref] = Image{ID: ref}
		}
	}
	if err := r.parameters(ctx, names); err != nil {
		return err
	}
	for _, name := range names {
		ids = append(ids, r.o.Images[byParameter+name].ID)
	}
	if err := r.exist(ctx, ids); err != nil {
		return err
	}
	return r.roles(ctx, roles)
}

// parametersAtOnce is the most that GetParameters takes.
const parametersAtOnce = 10

// parameters reads the parameters that hold ids of images.
func (r reader) parameters(ctx context.Context, names []string) error {
	for _, name := range names {
		r.o.Images[byParameter+name] = Image{Missing: "there is no parameter " + name}
	}
	for chunk := range slices.Chunk(names, parametersAtOnce) {
		out, err := r.w.Parameters.GetParameters(ctx, &ssm.GetParametersInput{Names: chunk})
		if err != nil {
			return err
		}
		for _, p := range out.Parameters {
			i := Image{ID: val(p.Value), From: fmt.Sprintf("parameter %s, version %d", val(p.Name), p.Version)}
			if !strings.HasPrefix(i.ID, "ami-") {
				i = Image{Missing: fmt.Sprintf("parameter %s holds %q, which is no id of an image", val(p.Name), val(p.Value))}
			}
			r.o.Images[byParameter+val(p.Name)] = i
		}
	}
	return nil
}

// exist marks the ids that this account cannot see.
func (r reader) exist(ctx context.Context, ids []string) error {
	seen := map[string]bool{}
	ids = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(ids))), func(id string) bool { return id == "" })
	for chunk := range slices.Chunk(ids, pageSize) {
		// A filter, not ImageIds: one unknown id would fail the whole call.
		// Others' images are left out once they are deprecated, and launch
		// nevertheless.
		out, err := r.w.EC2.DescribeImages(ctx, &ec2.DescribeImagesInput{IncludeDeprecated: ptr(true), Filters: []ec2types.Filter{{Name: ptr("image-id"), Values: chunk}}})
		if err != nil {
			return err
		}
		for _, i := range out.Images {
			seen[val(i.ImageId)] = true
		}
	}
	for ref, i := range r.o.Images {
		if i.ID != "" && !seen[i.ID] && !strings.HasPrefix(ref, atLaunch) {
			r.o.Images[ref] = Image{Missing: strings.TrimSuffix(fmt.Sprintf("this account sees no image %s; %s", i.ID, i.From), "; ")}
		}
	}
	return nil
}

// roles finds the newest proven image of each role, of this account.
func (r reader) roles(ctx context.Context, roles []string) error {
	for _, role := range roles {
		r.o.Images[byRole+role] = Image{Missing: "no bake has made an image of role " + role}
	}
	for chunk := range slices.Chunk(roles, pageSize) {
		found := map[string][]ami.Image{}
		in := &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []ec2types.Filter{{Name: ptr("tag:" + ami.TagRole), Values: chunk}}}
		for pages := ec2.NewDescribeImagesPaginator(r.w.EC2, in); pages.HasMorePages(); {
			out, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, raw := range out.Images {
				i := ami.From(raw)
				found[i.Role] = append(found[i.Role], i)
			}
		}
		for role, all := range found {
			r.o.Images[byRole+role] = newest(role, all, r.o.At)
		}
	}
	return nil
}

// newest takes the proven image that was made last. Without one it says why
// each of the newest was passed over.
func newest(role string, all []ami.Image, now time.Time) Image {
	slices.SortFunc(all, func(a, b ami.Image) int { return b.Created.Compare(a.Created) })
	var passed []string
	for _, i := range all {
		why := unproven(i, now)
		if why == "" {
			return Image{ID: i.ID, From: fmt.Sprintf("newest proven image of role %s, made %s", role, i.Created.UTC().Format(time.RFC3339))}
		}
		passed = append(passed, i.ID+" "+why)
	}
	const shown = 5
	more := ""
	if n := len(passed) - shown; n > 0 {
		passed, more = passed[:shown], fmt.Sprintf(", and %d older ones", n)
	}
	return Image{Missing: fmt.Sprintf("role %s has no proven image: %s%s", role, strings.Join(passed, ", "), more)}
}

// unproven says why an image may not serve a group; "" when it may.
func unproven(i ami.Image, now time.Time) string {
	switch {
	case i.State != string(ec2types.ImageStateAvailable):
		return "is " + i.State
	case i.Unfinished:
		return "comes from a bake that has not ended"
	case i.Tags[ami.TagProof] == ami.ProofFailed:
		return "failed its proof"
	case i.Tags[ami.TagProof] != ami.Proven:
		return "was not proven"
	case !i.Usable(now):
		return "is deprecated"
	}
	return ""
}
