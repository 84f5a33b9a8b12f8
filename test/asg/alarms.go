package asg

import (
	"net/http"
	"path"
	"reflect"

	"github.com/fxamacker/cbor/v2"

	"bakehouse/test/asg/watch"
)

// asRefusal makes an error of CloudWatch the service's own.
func asRefusal(err error) error {
	if r, ok := err.(*watch.Refusal); ok {
		return &refusal{r.Code, r.Message, http.StatusBadRequest}
	}
	return err
}

// decode reads CBOR with maps that are known by text.
func decode(body []byte) (map[string]any, error) {
	mode, err := cbor.DecOptions{DefaultMapType: reflect.TypeFor[map[string]any]()}.DecMode()
	if err != nil {
		return nil, err
	}
	var in map[string]any
	return in, mode.Unmarshal(body, &in)
}

// encode writes times as tagged seconds, as Smithy wants them.
func encode(out any) ([]byte, error) {
	mode, err := cbor.EncOptions{Time: cbor.TimeUnixDynamic, TimeTag: cbor.EncTagRequired}.EncMode()
	if err != nil {
		return nil, err
	}
	return mode.Marshal(out)
}

// serveCloudWatch answers /service/…/operation/NAME in CBOR.
func (s *Service) serveCloudWatch(w http.ResponseWriter, r *http.Request, body []byte) {
	action := path.Base(r.URL.Path)
	w.Header().Set("Content-Type", "application/cbor")
	w.Header().Set("Smithy-Protocol", "rpc-v2-cbor")
	in, err := decode(body)
	out := map[string]any{}
	if err == nil {
		err = s.fault(action)
	}
	if err == nil {
		out, err = s.watch.Answer(action, in)
		err = asRefusal(err)
	}
	if action == "SetAlarmState" {
		s.touched[""] = true // its actions are due in any group
	}
	s.record("monitoring", action, err)
	status := http.StatusOK
	if err != nil {
		status, out = http.StatusBadRequest, map[string]any{"__type": "com.amazonaws.cloudwatch#ValidationError", "message": err.Error()}
		if refused, ok := err.(*refusal); ok {
			out = map[string]any{"__type": "com.amazonaws.cloudwatch#" + refused.code, "message": refused.message}
			w.Header().Set("X-Amzn-Query-Error", refused.code+";Sender")
		}
	}
	b, err := encode(out)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	// A caller that is gone needs no answer.
	_, _ = w.Write(b)
}
