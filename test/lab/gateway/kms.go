package gateway

import (
	"context"
	"encoding/json"
)

// ebsKey is the alias of the key that AWS manages for EBS.
const ebsKey = "alias/aws/ebs"

// askKMS asks moto's KMS, in the call's region, for a key's metadata.
func (g *Gateway) askKMS(ctx context.Context, c *call, key string) (map[string]any, error) {
	own := *c
	own.signing = "kms"
	body, err := json.Marshal(map[string]string{"KeyId": key})
	if err != nil {
		return nil, err
	}
	rep, err := g.send(ctx, &own, "application/x-amz-json-1.1", "TrentService.DescribeKey", body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		KeyMetadata map[string]any
		Message     string `json:"message"`
	}
	if err := json.Unmarshal(rep.body, &answer); err != nil {
		return nil, err
	}
	if rep.status >= 400 {
		return nil, refuse("InvalidKmsKey.InvalidState", "%s", answer.Message)
	}
	return answer.KeyMetadata, nil
}

func (g *Gateway) keyARN(ctx context.Context, c *call, key string) (string, error) {
	meta, err := g.askKMS(ctx, c, key)
	arn, _ := meta["Arn"].(string)
	return arn, err
}

// describeKey says of the key for EBS that AWS manages it; moto makes that key
// when it is first asked for, and calls it a customer's.
func (g *Gateway) describeKey(ctx context.Context, c *call) (reply, error) {
	rep, err := g.forward(ctx, c)
	if err != nil || rep.status != 200 {
		return rep, err
	}
	var answer map[string]map[string]any
	if err := json.Unmarshal(rep.body, &answer); err != nil {
		return reply{}, err
	}
	managed, err := g.keyARN(ctx, c, ebsKey)
	if err != nil || managed != answer["KeyMetadata"]["Arn"] {
		return rep, err
	}
	answer["KeyMetadata"]["KeyManager"] = "AWS"
	rep.body, err = json.Marshal(answer)
	rep.header.Del("Content-Length")
	return rep, err
}
