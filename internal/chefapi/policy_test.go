package chefapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAPolicyIsReadAsAChefServerGivesIt speaks to a stand-in shaped like a Chef
// Infra Server: goiardi has no policies.
func TestAPolicyIsReadAsAChefServerGivesIt(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/organizations/acme/policy_groups/prod/policies/web":
			w.Write([]byte(`{"revision_id":"909c26701e291510eacdc6c06d626b9fa5350d25","name":"web","run_list":["recipe[web::default]"],
				"cookbook_locks":{"web":{"version":"1.2.3","identifier":"f04cc40faf628253fe7d9566d66a1733fb1afbe9","dotted_decimal_identifier":"1.2.3"}}}`))
		case "/organizations/acme/policy_groups/prod/policies/empty":
			w.Write([]byte(`{}`))
		default:
			w.WriteHeader(http.StatusNotFound)
			w.Write([]byte(`{"error":["not there"]}`))
		}
	}))
	defer srv.Close()
	key, _, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{ServerURL: srv.URL + "/organizations/acme", ClientName: "me", Key: key})
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Policy(t.Context(), "prod", "web")
	if err != nil || !strings.HasPrefix(p.Revision, "909c") || p.RunList[0] != "recipe[web::default]" || p.Cookbooks["web"] != (PolicyCookbook{"1.2.3", "f04cc40faf628253fe7d9566d66a1733fb1afbe9"}) {
		t.Errorf("%v: %+v", err, p)
	}
	if _, err := c.Policy(t.Context(), "prod", "nosuch"); !errors.Is(err, ErrNotFound) {
		t.Errorf("a policy that is not there: %v", err)
	}
	for _, bad := range [][2]string{{"prod", "empty"}, {"prod", "../x"}, {"a/b", "web"}} {
		if _, err := c.Policy(t.Context(), bad[0], bad[1]); err == nil {
			t.Errorf("%v is taken", bad)
		}
	}
}
