package config

import (
	"maps"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// check is what the tag "is" names.
type check struct {
	what string            // the type in words, for messages and documentation
	bad  func(string) bool // true when the value cannot be right
	one  []string          // the values there are, for a closed list

	pattern   string // of a text, as far as a pattern says it
	low, high int    // of a number; both 0: no bounds
}

// checks are all kinds of values. Values of maps are checked as KEY=VALUE.
func checks() map[string]check {
	all := map[string]check{
		"region":        like("AWS region", `[a-z]{2}(-[a-z]+)+-[0-9]+`),
		"url":           {what: "http(s) URL", bad: badURL},
		"httpsurl":      {what: "https URL", bad: func(s string) bool { return badURL(s) || !strings.HasPrefix(s, "https://") }},
		"namespace":     like("CloudWatch namespace", `[A-Za-z0-9._/#:-]{1,255}`),
		"cheftag":       like("Chef tag", `[^\s,]+`),
		"chefname":      like("Chef name", `[A-Za-z0-9_.:-]+`),
		"path":          {what: "path", bad: func(s string) bool { return s == "" || s == "~" }},
		"pathorurl":     {what: "path or URL of a .deb", bad: badPathOrURL},
		"secretref":     like("ssm:/NAME, secretsmanager:NAME or file:/PATH", `(ssm:/?[A-Za-z0-9_./-]+|ssm:arn:.+|secretsmanager:[A-Za-z0-9/_+=.@:-]+|file:/.+)`),
		"base":          like("ami-ID, ssm:NAME or name:GLOB", `(ami-[0-9a-f]{8,17}|ssm:/?[A-Za-z0-9_./-]+|name:.+)`),
		"instancetype":  like("instance type", `[a-z][a-z0-9-]*\.[a-z0-9-]+`),
		"subnet":        like("subnet id or tag:KEY=VALUE", `(subnet-[0-9a-f]{8,17}|tag:[^=]{1,127}=.{0,256})`),
		"securitygroup": like("security group id", `sg-[0-9a-f]{8,17}`),
		"address":       among("auto", "public", "private"),
		"chefmode":      among("server", "local"),
		"onfailure":     among("fail", "continue"),
		"onrebalance":   among("note", "leave"),
		"tenancy":       among("default", "dedicated", "host"),
		"reservation":   like("capacity reservation id", `cr-[0-9a-f]{8,17}`),
		"asgroup":       like("Auto Scaling group", `[^\x00-\x1f:]{1,255}`),
		"hook":          like("lifecycle hook", `[A-Za-z0-9_/-]{1,255}`),
		"user":          like("user name", `[a-z_][a-z0-9_-]{0,31}`),
		"volume":        between(1, 16384), // EBS gp3's limits, in GB
		"transport":     among("ssh", "ssm"),
		"bastion":       like("USER@HOST or USER@HOST:PORT", `[^@\s/]+@[^@\s/]+`),
		"volumetype":    among("gp2", "gp3", "io1", "io2"),
		"iops":          between(100, 256000), // io1's least to io2's most; the bake knows each type's own
		"throughput":    between(125, 2000),   // gp3's limits, in MiB/s
		"hops":          between(1, 64),
		"yesno":         among("true", "false"),
		"arch":          among("amd64", "arm64"),
		"kmskey":        like("KMS key id, ARN or alias/NAME", `([0-9a-f-]{36}|mrk-[0-9a-f]{32}|alias/[A-Za-z0-9/_-]+|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+)`),
		"attempts":      between(1, 20),
		"keep":          between(1, 100),
		"mib":           between(1, 1<<24),
		"hostport":      like("HOST:PORT", `[A-Za-z0-9.-]+:[0-9]{1,5}`),
		"argument":      like("argument", `[^\x00-\x1f\x7f]+`),
		"credential":    like("NAME: /PATH", `[A-Za-z0-9_.-]{1,255}=/[A-Za-z0-9_./@+-]+`),
		"listen":        like("PORT, ADDRESS:PORT or /PATH", `([0-9]{1,5}|[0-9.]+:[0-9]{1,5}|\[[0-9a-fA-F:.]+\]:[0-9]{1,5}|/[A-Za-z0-9_./@+-]+)`),
		"tasks":         between(1, 4194304), // the kernel's largest number of processes
		"command":       {what: "shell command", bad: func(s string) bool { return strings.TrimSpace(s) == "" }},
		"publickey":     like("ed25519:BASE64 public key", `ed25519:[A-Za-z0-9+/]{43}=`),
		"sha256":        like("64 hex digits", `[0-9a-f]{64}`),
		"tag":           {what: "KEY: VALUE, no prefix aws: or bakehouse:", bad: badTag},
		"envvar":        like("VARIABLE: VALUE", `[A-Za-z_][A-Za-z0-9_]*=[^\x00-\x1f]*`),
		"port":          {what: "TCP port", bad: between(1, 65535).bad},
		"imagename":     like("image name", `[A-Za-z0-9()\[\] ./'@_{}-]{3,250}`),
		"description":   like("text of one line, up to 255 characters", `[^\x00-\x1f]{1,255}`),
		"copyto":        like("REGION: KMSKEY, or REGION: with nothing", `[a-z]{2}(-[a-z]+)+-[0-9]+=(|[0-9a-f-]{36}|mrk-[0-9a-f]{32}|alias/[A-Za-z0-9/_-]+|arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[A-Za-z0-9/_-]+)`),
		"sharee":        like("account of 12 digits, or ARN of an organisation or unit", `([0-9]{12}|arn:aws[a-z-]*:organizations::[0-9]{12}:(organization/o-[a-z0-9]{10,32}|ou/o-[a-z0-9]{10,32}/ou-[0-9a-z]{4,32}-[0-9a-z]{8,32}))`),
		"age":           like("age such as 90d or 36h", `[1-9][0-9]{0,4}[dh]`),
		"agenow":        like("now, or age such as 30d or 36h", `now|[1-9][0-9]{0,4}[dh]`),
		"parameter":     like("name of an SSM parameter", `/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*`),
		"template":      like("name or id of a launch template", `[A-Za-z0-9().\-/_]{3,128}`),
		"duration":      {what: "duration such as 90s or 2h", bad: badDuration},
		"profile":       like("instance profile", `[A-Za-z0-9+=,.@_-]{1,128}`),
		"s3place":       like("place in S3 such as s3://bucket/prefix", `s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9!_.*'()/-]*)?`),
		"bucket":        like("S3 bucket", `[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]`),
		"channel":       like("channel name", `[a-z0-9][a-z0-9._-]{0,62}`),
		"app":           like("app name", `[a-z0-9][a-z0-9-]{0,62}`),
		"remotepath":    {what: "absolute path", bad: func(s string) bool { return !path.IsAbs(s) || path.Clean(s) != s || s == "/" }},
		"unit":          like("systemd unit", `[A-Za-z0-9:_.@\\-]+\.(service|target)`),
	}
	maps.Copy(all, reaperChecks())
	return all
}

func like(what, pattern string) check {
	re := regexp.MustCompile(`^(?:` + pattern + `)$`)
	return check{what: what, bad: func(s string) bool { return !re.MatchString(s) }, pattern: re.String()}
}

func among(values ...string) check {
	last := len(values) - 1
	return check{
		what: strings.Join(values[:last], ", ") + " or " + values[last],
		bad:  func(s string) bool { return !slices.Contains(values, s) },
		one:  values,
	}
}

func between(low, high int) check {
	return check{
		what: "number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high),
		low:  low, high: high,
		bad: func(s string) bool {
			n, err := strconv.Atoi(s)
			return err != nil || n < low || n > high
		},
	}
}

func badURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || strings.ContainsAny(s, " \t") {
		return true
	}
	_, port, err := net.SplitHostPort(u.Host)
	if err != nil { // no port
		return strings.HasSuffix(u.Host, ":")
	}
	n, err := strconv.Atoi(port)
	return err != nil || n < 1 || n > 65535
}

// badPathOrURL takes http too, as mirrors in private networks have it: the
// package is trusted for its digest alone.
func badPathOrURL(s string) bool {
	if strings.Contains(s, "://") {
		return badURL(s)
	}
	return s == "" || !strings.HasSuffix(s, ".deb") || filepath.Clean(s) == "."
}

func badDuration(s string) bool {
	d, err := time.ParseDuration(s)
	return err != nil || d <= 0
}

// badTag follows EC2's limits; "aws:" and "bakehouse:" are not the user's.
func badTag(s string) bool {
	key, value, _ := strings.Cut(s, "=")
	lower := strings.ToLower(key)
	return key == "" || len([]rune(key)) > 128 || len([]rune(value)) > 256 ||
		strings.HasPrefix(lower, "aws:") || strings.HasPrefix(lower, "bakehouse:")
}
