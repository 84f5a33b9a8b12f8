package distribute

import (
	"encoding/json"
	"strings"
)

// statement is one statement of a key policy.
type statement struct {
	Sid       string
	Effect    string
	Principal map[string][]string
	Action    []string
	Resource  string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// Grants are the statements that the policy of a key (its ARN) needs, so that
// an audience can launch instances of an image encrypted with it. The actions
// are those of docs.aws.amazon.com/AWSEC2, "Allow organizations and OUs to use
// a KMS key".
func Grants(key string, a Audience) []string {
	var out []string
	add := func(sid string, principals []string, condition map[string]map[string][]string) {
		b, err := json.Marshal(statement{Sid: sid, Effect: "Allow", Principal: map[string][]string{"AWS": principals},
			Action: []string{"kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:ReEncrypt*"}, Resource: "*", Condition: condition})
		if err == nil { // a struct of strings always renders
			out = append(out, string(b))
		}
	}
	partition := "aws"
	if parts := strings.Split(key, ":"); len(parts) > 1 {
		partition = parts[1]
	}
	var roots, organizations, paths []string
	for _, id := range a.Accounts {
		roots = append(roots, "arn:"+partition+":iam::"+id+":root")
	}
	for _, arn := range a.Organizations {
		organizations = append(organizations, arn[strings.LastIndexByte(arn, '/')+1:])
	}
	for _, arn := range a.Units {
		parts := strings.Split(arn, "/") // arn…:ou, the organisation, the unit
		paths = append(paths, parts[len(parts)-2]+"/*/"+parts[len(parts)-1]+"/*")
	}
	if len(roots) > 0 {
		add("LaunchSharedImages", roots, nil)
	}
	if len(organizations) > 0 {
		add("LaunchSharedImagesOrg", []string{"*"}, map[string]map[string][]string{"StringEquals": {"aws:PrincipalOrgID": organizations}})
	}
	if len(paths) > 0 {
		add("LaunchSharedImagesUnit", []string{"*"}, map[string]map[string][]string{"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": paths}})
	}
	return out
}
