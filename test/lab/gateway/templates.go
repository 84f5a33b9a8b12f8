package gateway

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// templates remembers what launch templates were made of: moto takes no
// SourceVersion and no ClientToken for a new version.
type templates struct {
	mu      sync.Mutex // held for a whole version: the same token twice at once must make one
	data    map[string]url.Values
	byToken map[string]launch
}

const templateData = "LaunchTemplateData."

// remember keeps the data of a version that was made.
func (t *templates) remember(id, version string, form url.Values) {
	kept := url.Values{}
	for k, v := range form {
		if strings.HasPrefix(k, templateData) {
			kept[k] = v
		}
	}
	t.data[id+"/"+version] = kept
}

func (g *Gateway) createLaunchTemplate(ctx context.Context, c *call) (reply, error) {
	g.templates.mu.Lock()
	defer g.templates.mu.Unlock()
	doc, rep, err := g.forwardTree(ctx, c, c.form)
	if doc == nil {
		return rep, err
	}
	g.templates.remember(doc.value("launchTemplate", "launchTemplateId"), "1", c.form)
	return withTree(c, rep, doc), nil
}

// createLaunchTemplateVersion starts from the source version, and makes one
// version for one client token.
func (g *Gateway) createLaunchTemplateVersion(ctx context.Context, c *call) (reply, error) {
	g.templates.mu.Lock()
	defer g.templates.mu.Unlock()
	token := c.form.Get("ClientToken")
	if done, ok := g.templates.byToken[token]; ok && token != "" {
		if !sameParameters(done.form, c.form) {
			return reply{}, refuse("IdempotentParameterMismatch", "The token %s was used before with other parameters", token)
		}
		return done.reply, nil
	}
	form, err := g.fromSource(ctx, c)
	if err != nil {
		return reply{}, err
	}
	doc, rep, err := g.forwardTree(ctx, c, form)
	if doc == nil {
		return rep, err
	}
	made := doc.at("launchTemplateVersion")
	g.templates.remember(made.value("launchTemplateId"), made.value("versionNumber"), form)
	rep = withTree(c, rep, doc)
	if token != "" && rep.status == http.StatusOK {
		g.templates.byToken[token] = launch{c.form, rep}
	}
	return rep, nil
}

// fromSource is the call's form with what it does not say taken from the
// source version. A member of the template's data counts as a whole.
func (g *Gateway) fromSource(ctx context.Context, c *call) (url.Values, error) {
	form := cloneForm(c.form)
	version := form.Get("SourceVersion")
	if version == "" {
		return form, nil
	}
	ask := url.Values{"LaunchTemplateVersion.1": {version}}
	for _, key := range []string{"LaunchTemplateId", "LaunchTemplateName"} {
		if v := form.Get(key); v != "" {
			ask.Set(key, v)
		}
	}
	doc, err := g.ask(ctx, c, "DescribeLaunchTemplateVersions", ask)
	if err != nil {
		return nil, err
	}
	source := doc.at("launchTemplateVersionSet", "item")
	said := map[string]bool{}
	member := func(key string) string {
		name, _, _ := strings.Cut(strings.TrimPrefix(key, templateData), ".")
		return name
	}
	for k := range form {
		if strings.HasPrefix(k, templateData) {
			said[member(k)] = true
		}
	}
	for k, v := range g.templates.data[source.value("launchTemplateId")+"/"+source.value("versionNumber")] {
		if !said[member(k)] {
			form[k] = v
		}
	}
	return form, nil
}

// describeLaunchTemplateVersions asks moto for all: it would show the first 15
// and give no token for the rest.
func (g *Gateway) describeLaunchTemplateVersions(ctx context.Context, c *call) (reply, error) {
	form := maps.Clone(c.form)
	form.Set("MaxResults", "10000")
	return g.forwardForm(ctx, c, form)
}
