//go:build bench

package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// ec2Server is shaped like EC2 (DescribeInstances with pages of up to 1,000,
// the filter instance-id) and STS, on one endpoint.
type ec2Server struct {
	mu    sync.Mutex
	ids   []string
	where map[string]int // of ids; made at the first question for one
	dead  int            // the first so many are terminated
	calls map[string]int
}

// taken is the number of calls since it was asked last.
func (e *ec2Server) taken() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return take(e.calls)
}

func (e *ec2Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	e.mu.Lock()
	defer e.mu.Unlock()
	action := r.Form.Get("Action")
	e.calls[action]++
	w.Header().Set("Content-Type", "text/xml")
	if action == "GetCallerIdentity" {
		fmt.Fprintf(w, `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Account>%s</Account><Arn>arn:aws:iam::%s:user/bench</Arn><UserId>U</UserId></GetCallerIdentityResult></GetCallerIdentityResponse>`, account, account)
		return
	}
	var b bytes.Buffer // written in one piece, with its length
	start, _ := strconv.Atoi(r.Form.Get("NextToken"))
	most, _ := strconv.Atoi(r.Form.Get("MaxResults"))
	if most == 0 {
		most = 1000
	}
	end, only := min(start+most, len(e.ids)), r.Form.Get("Filter.1.Value.1")
	fmt.Fprint(&b, `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>R</requestId><reservationSet>`)
	for i := start; i < end && only == ""; i++ {
		e.instance(&b, i)
	}
	if i, known := e.index(only); known {
		e.instance(&b, i)
	}
	fmt.Fprint(&b, `</reservationSet>`)
	if end < len(e.ids) && only == "" {
		fmt.Fprintf(&b, `<nextToken>%d</nextToken>`, end)
	}
	fmt.Fprint(&b, `</DescribeInstancesResponse>`)
	_, _ = w.Write(b.Bytes())
}

// index finds an id: the loop's questions must not cost this server a search.
func (e *ec2Server) index(id string) (int, bool) {
	if e.where == nil {
		e.where = make(map[string]int, len(e.ids))
		for i, id := range e.ids {
			e.where[id] = i
		}
	}
	i, known := e.where[id]
	return i, known
}

// instance writes an element about as long as EC2's.
func (e *ec2Server) instance(w io.Writer, i int) {
	state, code := "running", 16
	if i < e.dead {
		state, code = "terminated", 48
	}
	fmt.Fprintf(w, `<item><reservationId>r-%x</reservationId><ownerId>%s</ownerId><groupSet/><instancesSet><item><instanceId>%s</instanceId><imageId>ami-0123456789abcdef0</imageId><instanceState><code>%d</code><name>%s</name></instanceState><privateDnsName>ip-10-0-0-1.ec2.internal</privateDnsName><instanceType>t3.small</instanceType><launchTime>2026-01-01T00:00:00.000Z</launchTime><placement><availabilityZone>us-east-1a</availabilityZone><tenancy>default</tenancy></placement><monitoring><state>disabled</state></monitoring><subnetId>subnet-0123456789abcdef0</subnetId><vpcId>vpc-0123456789abcdef0</vpcId><architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><blockDeviceMapping><item><deviceName>/dev/sda1</deviceName><ebs><volumeId>vol-0123456789abcdef0</volumeId><status>attached</status></ebs></item></blockDeviceMapping><tagSet><item><key>Name</key><value>web</value></item><item><key>aws:autoscaling:groupName</key><value>web</value></item></tagSet></item></instancesSet></item>`,
		i, account, e.ids[i], code, state)
}
