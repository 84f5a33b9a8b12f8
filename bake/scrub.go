package bake

import (
	"strings"
)

// removal is how a trace goes.
type removal string

const (
	removeAll   removal = "remove"      // the matches, with all below them
	emptyDir    removal = "empty"       // all below the matches, which stay
	blankFile   removal = "blank"       // the matches' content
	blankTree   removal = "blank_tree"  // the content of every file below; daemons keep their files
	byCloudInit removal = "cloud_clean" // cloud-init's own clean-up, then all below the matches
	forbidden   removal = ""            // nothing removes it: it must not be there
)

// proof is how it is verified that a trace is gone.
type proof string

const (
	isAbsent proof = "absent"   // no path matches
	isBare   proof = "bare"     // nothing is below the matches
	noFiles  proof = "no_files" // no file is below the matches; folders and sockets of running daemons may be
	isBlank  proof = "blank"    // the matches are empty files, or absent
	isStale  proof = "fresh"    // files below are empty, or were written after the scrub
	noKeys   proof = "no_keys"  // no file below holds a private key
	noSecret proof = "no_aws_secret"
)

// trace is one sort of thing that must not live on in an image. Paths are
// shell patterns without blanks; "~" stands for every home folder of
// /etc/passwd.
type trace struct {
	what  string
	paths []string
	how   removal
	proof proof
}

// traces is the table that the scrub and its verification are both made from.
// The order matters: cloud-init's own clean-up comes before its logs go.
func traces() []trace {
	return []trace{
		{"SSH host key", []string{"/etc/ssh/ssh_host_*"}, removeAll, isAbsent},
		{"authorized key", []string{"~/.ssh/authorized_keys", "~/.ssh/authorized_keys2"}, removeAll, isAbsent},
		{"cloud-init state", []string{"/var/lib/cloud"}, byCloudInit, isBare},
		{"network set-up of the builder", []string{"/etc/netplan/50-cloud-init.yaml", "/etc/network/interfaces.d/50-cloud-init*",
			"/etc/systemd/network/10-cloud-init-*", "/etc/udev/rules.d/70-persistent-net.rules"}, removeAll, isAbsent},
		{"login rule of user-data", []string{"/etc/sudoers.d/90-cloud-init-users", "/etc/ssh/sshd_config.d/50-cloud-init.conf"}, removeAll, isAbsent},
		{"machine id", []string{"/etc/machine-id"}, blankFile, isBlank},
		{"copy of the machine id", []string{"/var/lib/dbus/machine-id"}, removeAll, isAbsent},
		{"secret of systemd", []string{"/var/lib/systemd/random-seed", "/var/lib/systemd/credential.secret"}, removeAll, isAbsent},
		{"host name", []string{"/etc/hostname"}, removeAll, isAbsent},
		{"DHCP lease", []string{"/var/lib/dhcp/*", "/var/lib/dhcpcd/*", "/var/lib/NetworkManager/*lease*"}, removeAll, isAbsent},
		{"history", histories(), removeAll, isAbsent},
		{"Chef file", []string{"/etc/chef", "/etc/cinc", "/var/chef", "/var/cinc", "/var/lib/chef", "/var/lib/cinc"}, emptyDir, isBare},
		{"Chef file in a home", []string{"~/.chef", "~/.cinc"}, removeAll, isAbsent},
		{"AWS credential", []string{"~/.aws/credentials", "~/.aws/cli", "~/.aws/sso", "~/.aws/login", "~/.boto", "/etc/boto.cfg", "~/.s3cfg", "~/.passwd-s3fs", "/etc/passwd-s3fs"}, removeAll, isAbsent},
		{"SSM registration", []string{"/var/lib/amazon/ssm", "/var/snap/amazon-ssm-agent/common"}, emptyDir, isBare},
		{"Ubuntu Pro token", []string{"/var/lib/ubuntu-advantage/private"}, emptyDir, isBare},
		{"firmware daemon's key", []string{"/var/lib/fwupd/pki"}, emptyDir, isBare},
		{"state of the agent", []string{"/var/lib/bakehouse"}, emptyDir, isBare},
		{"apt setting of the bake", []string{"/etc/apt/apt.conf.d/99bakehouse"}, removeAll, isAbsent},
		{"apt list", []string{"/var/lib/apt/lists/*", "/var/cache/apt/archives/*.deb", "/var/cache/apt/*.bin"}, removeAll, isAbsent},
		{"login record", []string{"/var/lib/wtmpdb", "/var/lib/lastlog"}, emptyDir, isBare},
		{"rotated log", []string{"/var/log/*.gz", "/var/log/*.[0-9]", "/var/log/*.old", "/var/log/*/*.gz", "/var/log/*/*.[0-9]", "/var/log/cloud-init*"}, removeAll, isAbsent},
		{"journal", []string{"/var/log/journal"}, emptyDir, isBare},
		{"core dump", []string{"/var/crash", "/var/lib/systemd/coredump"}, emptyDir, isBare},
		{"temporary file", []string{"/tmp", "/var/tmp"}, emptyDir, noFiles},
		{"log", []string{"/var/log"}, blankTree, isStale},
		{"private key", []string{"/etc", "/root", "/home", "/var", "/opt", "/srv", "/usr/local"}, forbidden, noKeys},
		{"AWS secret key", []string{"/etc", "/root", "/home", "/srv"}, forbidden, noSecret},
	}
}

func histories() []string {
	return []string{"~/.bash_history", "~/.zsh_history", "~/.ash_history", "~/.sh_history", "~/.python_history", "~/.viminfo",
		"~/.lesshst", "~/.wget-hsts", "~/.mysql_history", "~/.psql_history", "~/.rediscli_history", "~/.node_repl_history", "~/.irb_history"}
}

// proofFor lists what may prove each removal.
func proofFor() map[removal][]proof {
	return map[removal][]proof{
		removeAll: {isAbsent}, emptyDir: {isBare, noFiles}, blankFile: {isBlank}, blankTree: {isStale},
		byCloudInit: {isBare}, forbidden: {noKeys, noSecret},
	}
}

// defaultAllowed are private keys that are no secret: the snakeoil key is the
// self-signed placeholder of Debian's ssl-cert package, which nobody may trust.
// Chef's own package ships keys for its tests.
func defaultAllowed() []string {
	return []string{"/etc/ssl/private/ssl-cert-snakeoil.key", "/opt/chef/embedded/*", "/opt/cinc/embedded/*"}
}

// shellQuote renders s as one single-quoted word.
func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// scrubScript is the script that removes the traces.
func scrubScript(prelude string) string {
	var b strings.Builder
	b.WriteString(prelude)
	for _, t := range traces() {
		if t.how == forbidden {
			continue
		}
		for _, p := range t.paths {
			b.WriteString(string(t.how) + " " + shellQuote(p) + "\n")
		}
	}
	b.WriteString("finish\n")
	return b.String()
}

// verifyScript is the script that looks for traces, independent of the one
// that removed them. allow are shell patterns of private keys that may stay;
// keep are files that the scrub must have left alone.
func verifyScript(prelude string, allow, keep []string) string {
	var b strings.Builder
	b.WriteString(prelude)
	b.WriteString(allowFunction(append(defaultAllowed(), allow...)))
	for _, t := range traces() {
		for _, p := range t.paths {
			b.WriteString(string(t.proof) + " " + shellQuote(t.what) + " " + shellQuote(p) + "\n")
		}
	}
	for _, p := range keep {
		b.WriteString("kept " + shellQuote(p) + "\n")
	}
	b.WriteString("finish\n")
	return b.String()
}

// allowFunction is the shell function that says which private keys may be there.
func allowFunction(patterns []string) string {
	var b strings.Builder
	b.WriteString("allow() {\n\tcase $1 in\n")
	for _, p := range patterns {
		b.WriteString("\t" + caseWord(p) + ") return 0 ;;\n")
	}
	b.WriteString("\tesac\n\treturn 1\n}\n")
	return b.String()
}

// caseWord quotes all of a case pattern but for its wildcards.
func caseWord(pattern string) string {
	var b strings.Builder
	for _, r := range pattern {
		if strings.ContainsRune("*?[]", r) {
			b.WriteRune(r)
		} else {
			b.WriteString(shellQuote(string(r)))
		}
	}
	return strings.ReplaceAll(b.String(), "''", "")
}
