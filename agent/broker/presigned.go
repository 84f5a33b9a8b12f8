package broker

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bakehouse/internal/enrol"
)

// skew is how far an instance's clock may be ahead of ours.
const skew = time.Minute

// Call is a presigned STS call that may be made: rebuilt from its checked
// parts, never the text that was posted.
type Call struct {
	URL      string
	Region   string // of the credential scope
	Audience string
	KeySum   string
}

// Caller is what STS says of whoever signed.
type Caller struct{ Account, ARN, UserID string }

// checkURL judges a presigned URL without calling it.
func (p Policy) checkURL(text, keySum string, now time.Time) (Call, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return Call{}, refuse(BadURL, "the STS URL does not parse")
	}
	if u.User != nil || u.Fragment != "" || u.Opaque != "" || (u.Path != "/" && u.Path != "") || u.RawPath != "" {
		return Call{}, refuse(BadURL, "the STS URL has more than a host and a query")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Call{}, refuse(BadURL, "the query of the STS URL does not parse")
	}
	if err := checkQuery(query); err != nil {
		return Call{}, err
	}
	region, err := checkScope(query.Get("X-Amz-Credential"), query.Get("X-Amz-Date"))
	if err != nil {
		return Call{}, err
	}
	base := u.Scheme + "://" + u.Host
	if !slices.Contains(p.Endpoints, base) && !isSTS(u, region) {
		return Call{}, refuse(ForeignEndpoint, "%q is not an STS endpoint of region %s", base, region)
	}
	if err := checkTime(query, now); err != nil {
		return Call{}, err
	}
	return Call{URL: base + "/?" + query.Encode(), Region: region, Audience: p.Audience, KeySum: keySum}, nil
}

// checkQuery takes exactly the parameters of a presigned GetCallerIdentity,
// each once.
func checkQuery(query url.Values) error {
	fixed := map[string]string{"Action": enrol.STSAction, "Version": enrol.STSVersion,
		"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-SignedHeaders": enrol.SignedHeaders}
	free := []string{"X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-Security-Token", "X-Amz-Signature"}
	for name, values := range query {
		want, isFixed := fixed[name]
		switch {
		case !isFixed && !slices.Contains(free, name):
			return refuse(BadURL, "the STS URL has the parameter %q", name)
		case len(values) != 1 || values[0] == "":
			return refuse(BadURL, "the STS URL has not one value of %s", name)
		case name == "X-Amz-SignedHeaders" && values[0] != want:
			return refuse(NotOurs, "the STS URL signs the headers %q, want %q", values[0], want)
		case isFixed && values[0] != want:
			return refuse(BadURL, "the STS URL has %s=%q, want %q", name, values[0], want)
		}
	}
	if len(query) != len(fixed)+len(free) {
		return refuse(BadURL, "the STS URL lacks parameters of a presigned call of a role session")
	}
	return nil
}

// checkScope reads KEY/DATE/REGION/sts/aws4_request.
func checkScope(credential, date string) (region string, err error) {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || parts[3] != "sts" || parts[4] != "aws4_request" || !strings.HasPrefix(date, parts[1]) || !isRegion(parts[2]) {
		return "", refuse(BadURL, "the STS URL is not signed for sts in a region")
	}
	return parts[2], nil
}

func isRegion(s string) bool {
	return regexp.MustCompile(`^[a-z]{2}(-[a-z]+){1,3}-[0-9]{1,2}$`).MatchString(s)
}

// isSTS knows AWS's own endpoints (docs.aws.amazon.com/general/latest/gr/sts.html):
// the regional ones, with FIPS or dual stack, and the global one.
func isSTS(u *url.URL, region string) bool {
	if u.Scheme != "https" {
		return false
	}
	if strings.HasPrefix(region, "cn-") {
		return u.Host == "sts."+region+".amazonaws.com.cn"
	}
	return slices.Contains([]string{
		"sts." + region + ".amazonaws.com", "sts-fips." + region + ".amazonaws.com", "sts." + region + ".api.aws",
		"sts.amazonaws.com",
	}, u.Host) && (u.Host != "sts.amazonaws.com" || region == "us-east-1")
}

// checkTime bounds how long a request can be used.
func checkTime(query url.Values, now time.Time) error {
	signed, err := time.Parse("20060102T150405Z", query.Get("X-Amz-Date"))
	if err != nil {
		return refuse(BadURL, "the STS URL's X-Amz-Date is no time")
	}
	seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	lifetime := time.Duration(seconds) * time.Second
	switch {
	case err != nil || seconds < 1:
		return refuse(BadURL, "the STS URL's X-Amz-Expires is no number of seconds")
	case seconds > int(enrol.Lifetime/time.Second):
		return refuse(Expired, "the STS URL is good for %ds, at most %s is taken", seconds, enrol.Lifetime)
	case now.After(signed.Add(lifetime)):
		return refuse(Expired, "the STS URL ended %s ago", now.Sub(signed.Add(lifetime)).Round(time.Second))
	case signed.After(now.Add(skew)):
		return refuse(Expired, "the STS URL is signed %s ahead of the broker's clock", signed.Sub(now).Round(time.Second))
	}
	return nil
}

// Doer sends one HTTP request; *http.Client is the real one. It must not
// follow redirects.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// AskSTS makes a call with hc. What STS refuses (its 4xx) is the refusal
// NotOurs: the signature covers headers that the broker sets itself.
func AskSTS(hc Doer, agent string) func(context.Context, Call) (Caller, error) {
	return func(ctx context.Context, c Call) (Caller, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
		if err != nil {
			return Caller{}, fmt.Errorf("preparing the call of STS: %w", err)
		}
		req.Header.Set(enrol.AudienceHeader, c.Audience)
		req.Header.Set(enrol.KeyHeader, c.KeySum)
		req.Header.Set("User-Agent", agent)
		res, err := hc.Do(req)
		if err != nil {
			return Caller{}, fmt.Errorf("calling STS: %w", withoutURL(err))
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if err != nil {
			return Caller{}, fmt.Errorf("reading the answer of STS: %w", err)
		}
		return readCaller(res.StatusCode, body)
	}
}

// readCaller reads the answer of STS.
func readCaller(status int, body []byte) (Caller, error) {
	var failed struct {
		Error struct{ Code string }
	}
	switch {
	case status >= 500 || status == http.StatusTooManyRequests:
		return Caller{}, fmt.Errorf("calling STS: HTTP %d", status)
	case status != http.StatusOK:
		_ = xml.Unmarshal(body, &failed) // without a code the status speaks
		return Caller{}, refuse(NotOurs, "STS refuses the call (HTTP %d %s): not signed by that instance for this broker and this key", status, failed.Error.Code)
	}
	var out struct {
		Result struct{ Arn, Account, UserId string } `xml:"GetCallerIdentityResult"`
	}
	if err := xml.Unmarshal(body, &out); err != nil || out.Result.Arn == "" {
		return Caller{}, fmt.Errorf("calling STS: the answer is no GetCallerIdentityResponse")
	}
	return Caller{Account: out.Result.Account, ARN: out.Result.Arn, UserID: out.Result.UserId}, nil
}

// withoutURL drops the URL from a client's error: it is good for some minutes.
func withoutURL(err error) error {
	if u, ok := err.(*url.Error); ok {
		return u.Err
	}
	return err
}
