package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Current SDKs speak smithy-rpc-v2-cbor to CloudWatch; moto does not, but it
// takes the same shapes as AWS JSON 1.0. The two differ in the encoding and in
// how times are marked: CBOR tags them (tag 1), JSON has bare epoch seconds.

// forwardJSON sends a JSON call, or a CBOR call turned into JSON. A CBOR
// caller's reply is turned back by translateReply.
func (g *Gateway) forwardJSON(ctx context.Context, c *call) (reply, error) {
	contentType, body := c.header.Get("Content-Type"), c.body
	if c.protocol == protoCBOR {
		var err error
		if body, err = cborToJSON(c.body); err != nil {
			return reply{}, &apiError{Code: "SerializationException", Message: err.Error()}
		}
		contentType = "application/x-amz-json-1.0"
	}
	return g.send(ctx, c, contentType, c.target+"."+c.action, body)
}

// translateReply gives rep the caller's encoding.
func (c *call) translateReply(rep reply) (reply, error) {
	if c.protocol != protoCBOR || rep.header.Get("Content-Type") == "application/cbor" {
		return rep, nil
	}
	body, code, err := jsonToCBOR(rep.body)
	if err != nil {
		return reply{}, err
	}
	rep.body, rep.header = body, http.Header{"X-Amzn-Requestid": {c.id}}
	setCBORHeader(rep.header)
	if rep.status >= 400 {
		// aws.protocols#awsQueryCompatible: SDKs prefer this code.
		rep.header.Set("X-Amzn-Query-Error", code+";Sender")
		rep.header.Set("X-Amzn-Errortype", code)
	}
	return rep, nil
}

func setCBORHeader(h http.Header) {
	h.Set("Content-Type", "application/cbor")
	h.Set("Smithy-Protocol", "rpc-v2-cbor")
}

func cborToJSON(body []byte) ([]byte, error) {
	if len(body) == 0 {
		return []byte("{}"), nil
	}
	mode, err := cbor.DecOptions{DefaultMapType: nil, TimeTagToAny: cbor.TimeTagToTime, MaxNestedLevels: 64}.DecMode()
	if err != nil {
		return nil, fmt.Errorf("preparing CBOR reader: %w", err)
	}
	var v any
	if err := mode.Unmarshal(body, &v); err != nil {
		return nil, fmt.Errorf("reading CBOR request: %w", err)
	}
	plain, err := plainJSON(v)
	if err != nil {
		return nil, err
	}
	out, err := json.Marshal(plain)
	if err != nil {
		return nil, fmt.Errorf("rendering JSON request: %w", err)
	}
	return out, nil
}

// plainJSON turns decoded CBOR into what encoding/json takes. Byte strings
// become base64 by themselves, as AWS JSON wants them.
func plainJSON(v any) (any, error) {
	switch v := v.(type) {
	case map[any]any:
		out := make(map[string]any, len(v))
		for key, member := range v {
			name, ok := key.(string)
			if !ok {
				return nil, fmt.Errorf("reading CBOR request: map key %v is no string", key)
			}
			plain, err := plainJSON(member)
			if err != nil {
				return nil, err
			}
			if plain != nil { // a null member is an absent one
				out[name] = plain
			}
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, member := range v {
			plain, err := plainJSON(member)
			if err != nil {
				return nil, err
			}
			out[i] = plain
		}
		return out, nil
	case time.Time:
		return float64(v.UnixMilli()) / 1000, nil
	case float64:
		return jsonFloat(v), nil
	case float32:
		return jsonFloat(float64(v)), nil
	}
	return v, nil
}

// jsonFloat writes what JSON numbers cannot hold the way AWS JSON does.
func jsonFloat(v float64) any {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, 1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	return v
}

// jsonToCBOR turns a JSON reply into CBOR and names the error code in it, if
// it is an error's.
func jsonToCBOR(body []byte) (out []byte, code string, err error) {
	v := any(map[string]any{})
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil && !errors.Is(err, io.EOF) {
		return nil, "", fmt.Errorf("reading the emulator's JSON reply: %w", err)
	}
	if m, ok := v.(map[string]any); ok {
		code, _ = m["__type"].(string)
		code = code[strings.LastIndexByte(code, '#')+1:]
	}
	out, err = cbor.Marshal(timed("", v))
	if err != nil {
		return nil, "", fmt.Errorf("rendering CBOR reply: %w", err)
	}
	return out, code, nil
}

// timed turns JSON numbers into CBOR ones; those under a name that holds
// times get tag 1.
func timed(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, member := range v {
			v[key] = timed(key, member)
		}
	case []any:
		for i, member := range v {
			v[i] = timed(name, member)
		}
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		if holdsTime(name) {
			return cbor.Tag{Number: 1, Content: f}
		}
		if i, err := v.Int64(); err == nil {
			return i
		}
		return f
	}
	return v
}

// holdsTime knows the members of timestamp type in CloudWatch's replies.
func holdsTime(name string) bool {
	switch name {
	case "StartTime", "EndTime", "LastModified", "StartDate", "ExpireDate", "CreationDate", "LastUpdateDate", "Timestamps":
		return true
	}
	return strings.HasSuffix(name, "Timestamp")
}
