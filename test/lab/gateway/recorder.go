package gateway

import (
	"encoding/json"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"
)

// Record is one call as the recorder writes it: one JSON object a line, in
// the order in which calls ended.
type Record struct {
	Seq       int64     `json:"seq"` // 1, 2, 3, … without gaps
	Time      time.Time `json:"time"`
	Service   string    `json:"service"`
	Action    string    `json:"action"`
	Status    int       `json:"status"`
	Code      string    `json:"code,omitempty"`  // AWS error code
	Caller    string    `json:"caller"`          // name if known, else access key id
	Agent     string    `json:"agent,omitempty"` // our tool and its version, as in bakehouse-bake-ami/1.2.3
	Source    string    `json:"source,omitempty"`
	Millis    float64   `json:"ms"`
	RequestID string    `json:"request_id"`
	Fault     int       `json:"fault,omitempty"` // id of the fault rule that hit
	Lost      bool      `json:"lost,omitempty"`  // the reply was cut off; status is what it would have been
	// Params are what a call to EC2 asks for, as on the wire, but for reads and
	// for user-data.
	Params map[string]string `json:"params,omitempty"`
}

// kept bounds the calls remembered for GET /_lab/calls.
const kept = 100_000

type recorder struct {
	mu    sync.Mutex
	out   io.Writer
	seq   int64
	calls []Record
	err   error // of the last write; reported by /_lab/calls
}

func newRecorder(out io.Writer) *recorder { return &recorder{out: out} }

func (r *recorder) add(c *call, t *tap, started, ended time.Time) {
	rec := Record{
		Time: started.UTC(), Service: c.service, Action: c.action, Status: t.status, Caller: c.caller,
		Agent: toolOf(c.header.Get("User-Agent")), Millis: float64(ended.Sub(started).Microseconds()) / 1000, RequestID: c.id, Fault: t.fault, Lost: t.lost,
	}
	if rec.Caller == "" {
		rec.Caller = c.accessKey
	}
	if c.source.IsValid() {
		rec.Source = c.source.String()
	}
	rec.Params = paramsOf(c)
	if t.status >= 400 {
		rec.Code = errorCode(t.Header().Get("X-Amzn-Errortype"), t.head)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	rec.Seq = r.seq
	if len(r.calls) >= kept {
		r.calls = append(r.calls[:0:0], r.calls[kept/10:]...)
	}
	r.calls = append(r.calls, rec)
	if r.out == nil {
		return
	}
	line, err := json.Marshal(rec)
	if err == nil {
		_, err = r.out.Write(append(line, '\n'))
	}
	r.err = err
}

// paramsOf are a call's parameters, if it changes something in EC2.
func paramsOf(c *call) map[string]string {
	if c.protocol != protoEC2 || strings.HasPrefix(c.action, "Describe") || strings.HasPrefix(c.action, "Get") {
		return nil
	}
	out := map[string]string{}
	for name := range c.form {
		if name != "UserData" && name != "Action" && name != "Version" {
			out[name] = c.form.Get(name)
		}
	}
	return out
}

// since returns the calls with a sequence number above seq that started at or
// after from.
func (r *recorder) since(seq int64, from time.Time) ([]Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []Record{}
	for _, rec := range r.calls {
		if rec.Seq > seq && !rec.Time.Before(from) {
			out = append(out, rec)
		}
	}
	return out, r.err
}

// errorCode finds the AWS error code of a reply, whatever its protocol.
func errorCode(header string, head []byte) string {
	code := header
	for _, pattern := range []string{
		`<Code>([^<]+)</Code>`, `"__type"\s*:\s*"(?:[^"#]*#)?([^"]+)"`,
	} {
		if m := regexp.MustCompile(pattern).FindSubmatch(head); code == "" && m != nil {
			code = string(m[1])
		}
	}
	return code
}

// toolOf is the part of a User-Agent that names one of the house's tools, ""
// when another program calls.
func toolOf(userAgent string) string {
	return regexp.MustCompile(`bakehouse-[a-z-]+(/\S+)?`).FindString(userAgent)
}
