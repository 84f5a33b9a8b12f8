package bake

import (
	"context"
	"fmt"
	"strings"

	"bakehouse/bake/ami"
)

// Explanation says how the inputs differ from those of the role's last image.
type Explanation struct {
	Role    string       `json:"role"`
	Digest  string       `json:"inputs_digest"` // of a bake now
	Last    *ami.Image   `json:"last_image"`    // nil: there is none
	Changed []string     `json:"changed"`       // names of parts
	Parts   []PartChange `json:"parts"`
}

// PartChange is one part then and now.
type PartChange struct {
	Name string `json:"name"`
	Then string `json:"then,omitempty"` // empty: the image does not say
	Now  string `json:"now"`
	What string `json:"what"` // what the part covers now, for people
}

// Explain compares the inputs of plan with those of the role's newest finished
// image, whatever became of that since.
func (w World) Explain(ctx context.Context, plan Plan) (Explanation, error) {
	e := Explanation{Role: plan.Recipe.Role, Digest: plan.Digest, Changed: []string{}}
	found, err := ami.List(ctx, w.EC2, ami.Filter("tag:"+ami.TagRole, plan.Recipe.Role))
	if err != nil {
		return e, err
	}
	for _, k := range found {
		if k.Finished() {
			e.Last = &k
			break
		}
	}
	for _, p := range plan.Recipe.Parts() {
		c := PartChange{Name: p.Name, Now: p.Digest, What: plan.Recipe.describe(p.Name)}
		if e.Last != nil {
			if c.Then = e.Last.Parts[p.Name]; c.Then != c.Now {
				e.Changed = append(e.Changed, p.Name)
			}
		}
		e.Parts = append(e.Parts, c)
	}
	return e, nil
}

// describe says in a few words what a part covers.
func (r Recipe) describe(part string) string {
	switch part {
	case partBase:
		return r.Base.ID + " " + r.Base.Name
	case partRoles:
		return strings.Join(r.Roles, ", ") + ", environment " + r.Environment
	case partCookbooks:
		return orNone(cookbookText(r.Cookbooks))
	case partChef:
		return r.ChefMode + " mode, package " + orNone(short(r.ChefSHA256))
	case partAgent:
		return "boot-agent " + short(r.AgentSHA256) + " and what it is told"
	case partTool:
		return "unit files, guest scripts and scrub of this bake-ami"
	case partSettings:
		return "the root volume and what is named nowhere else"
	}
	return ""
}

// Text renders the explanation for people.
func (e Explanation) Text() string {
	if e.Last == nil {
		return fmt.Sprintf("role %s has no image yet; a bake now has inputs %s\n", e.Role, short(e.Digest))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "last image of role %s: %s (%s, base %s)\n", e.Role, e.Last.ID, e.Last.Name, e.Last.Base)
	for _, p := range e.Parts {
		switch {
		case p.Then == "":
			fmt.Fprintf(&b, "unknown %-10s the image does not say; now %s: %s\n", p.Name, p.Now, p.What)
		case p.Then != p.Now:
			fmt.Fprintf(&b, "changed %-10s %s -> %s: now %s\n", p.Name, p.Then, p.Now, p.What)
		default:
			fmt.Fprintf(&b, "same    %-10s %s: %s\n", p.Name, p.Now, p.What)
		}
	}
	if len(e.Changed) == 0 {
		b.WriteString("nothing changed: a bake would return that image, if it is neither deprecated nor unproven\n")
	}
	return b.String()
}
