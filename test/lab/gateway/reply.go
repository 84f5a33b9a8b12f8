package gateway

import (
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// reply is a buffered answer.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// apiError is an AWS error, rendered in the caller's protocol.
type apiError struct {
	Code    string
	Message string
	Status  int // 0 means 400
}

// Error makes an apiError an error for handlers to return.
func (e *apiError) Error() string { return e.Code + ": " + e.Message }

// refuse is a 400 with AWS's own code.
func refuse(code, format string, args ...any) error {
	return &apiError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func asAPIError(err error) *apiError {
	var e *apiError
	if errors.As(err, &e) {
		return e
	}
	return &apiError{Code: "InternalError", Message: err.Error(), Status: http.StatusInternalServerError}
}

func newRequestID() string {
	return strings.ToLower(rand.Text())
}

// writeReply sends rep; the client's departure is its own affair.
func writeReply(w http.ResponseWriter, rep reply) {
	for name, values := range rep.header {
		switch name {
		case "Connection", "Content-Length", "Transfer-Encoding":
		default:
			w.Header()[name] = values
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(rep.body)))
	w.WriteHeader(rep.status)
	_, _ = w.Write(rep.body)
}

// renderError writes e the way the service of c writes errors.
func renderError(c *call, e *apiError) reply {
	rep := reply{status: e.Status, header: http.Header{}}
	if rep.status == 0 {
		rep.status = http.StatusBadRequest
	}
	rep.header.Set("X-Amzn-Requestid", c.id)
	switch c.protocol {
	case protoJSON:
		rep.header.Set("Content-Type", "application/x-amz-json-1.1")
		rep.header.Set("X-Amzn-Errortype", e.Code)
		rep.body, _ = json.Marshal(map[string]string{"__type": e.Code, "message": e.Message})
	case protoCBOR:
		setCBORHeader(rep.header)
		rep.header.Set("X-Amzn-Query-Error", e.Code+";Sender")
		rep.body, _ = cbor.Marshal(map[string]string{"__type": e.Code, "message": e.Message})
	default:
		rep.header.Set("Content-Type", "text/xml; charset=utf-8")
		rep.body = []byte(errorXML(c, escape(e.Code), escape(e.Message)))
	}
	return rep
}

func errorXML(c *call, code, message string) string {
	inner := "<Code>" + code + "</Code><Message>" + message + "</Message>"
	switch c.protocol {
	case protoEC2:
		return xml.Header + "<Response><Errors><Error>" + inner + "</Error></Errors><RequestID>" + c.id + "</RequestID></Response>"
	case protoQuery:
		return xml.Header + "<ErrorResponse><Error><Type>Sender</Type>" + inner + "</Error><RequestId>" + c.id + "</RequestId></ErrorResponse>"
	}
	return xml.Header + "<Error>" + inner + "<RequestId>" + c.id + "</RequestId></Error>"
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// ec2Reply is a success document for action around the XML in inner.
func ec2Reply(c *call, inner string) reply {
	body := xml.Header + "<" + c.action + `Response xmlns="http://ec2.amazonaws.com/doc/2016-11-15">` +
		"<requestId>" + c.id + "</requestId>" + inner + "</" + c.action + "Response>"
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {"text/xml; charset=utf-8"}}, body: []byte(body)}
}

// jsonReply is a success document of a JSON service.
func jsonReply(v any) (reply, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return reply{}, fmt.Errorf("rendering reply: %w", err)
	}
	return reply{status: http.StatusOK, header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, body: body}, nil
}

// discard takes a reply that nobody will see.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// tap passes a reply on and keeps what the record needs of it: the status and
// the head of an error's body.
type tap struct {
	http.ResponseWriter
	status int
	head   []byte
	fault  int
	lost   bool
}

const tapHead = 4 << 10

// WriteHeader notes the status.
func (t *tap) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

// Write passes b on and keeps the head of an error.
func (t *tap) Write(b []byte) (int, error) {
	if t.status >= 400 && len(t.head) < tapHead {
		t.head = append(t.head, b[:min(len(b), tapHead-len(t.head))]...)
	}
	return t.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (t *tap) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// late holds a reply back: the handler is through with its work by then.
type late struct {
	http.ResponseWriter
	done   <-chan struct{} // the caller is gone
	wait   time.Duration
	begins func() // called when it begins to wait; may be nil
}

// WriteHeader waits before it passes the status on.
func (l *late) WriteHeader(status int) {
	l.hold()
	l.ResponseWriter.WriteHeader(status)
}

// Write waits when no status was written before.
func (l *late) Write(b []byte) (int, error) {
	l.hold()
	return l.ResponseWriter.Write(b)
}

func (l *late) hold() {
	if l.wait <= 0 {
		return
	}
	if l.begins != nil {
		l.begins()
	}
	t := time.NewTimer(l.wait)
	defer t.Stop()
	l.wait = 0
	select {
	case <-t.C:
	case <-l.done:
	}
}

// Unwrap serves http.ResponseController.
func (l *late) Unwrap() http.ResponseWriter { return l.ResponseWriter }
