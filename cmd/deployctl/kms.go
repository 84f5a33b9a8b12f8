package main

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"bakehouse/internal/awscfg"
	"bakehouse/internal/awserr"
	"bakehouse/internal/awsfault"
	"bakehouse/internal/fault"
	"bakehouse/release"
)

// kmsScheme marks a signing key that lies in KMS: kms:ID, kms:ARN or kms:alias/NAME.
const kmsScheme = "kms:"

// maxKMSMessage is what KMS signs in one piece
// (https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html).
const maxKMSMessage = 4096

// kmsTimeout bounds one signature.
const kmsTimeout = 30 * time.Second

// keyService is the part of KMS that signing uses; *kms.Client has it.
type keyService interface {
	GetPublicKey(context.Context, *kms.GetPublicKeyInput, ...func(*kms.Options)) (*kms.GetPublicKeyOutput, error)
	Sign(context.Context, *kms.SignInput, ...func(*kms.Options)) (*kms.SignOutput, error)
}

// connectKMS makes the client.
func connectKMS(ctx context.Context, o awscfg.Options) (keyService, error) {
	cfg, err := awscfg.Load(ctx, o)
	if err != nil {
		return nil, err
	}
	if err := awscfg.Check(ctx, cfg); err != nil {
		return nil, err
	}
	return kms.NewFromConfig(cfg), nil
}

// kmsSigner signs with an Ed25519 key in KMS (key spec ECC_NIST_EDWARDS25519);
// its private half never leaves KMS.
func kmsSigner(ctx context.Context, service keyService, id string) (*release.Signer, error) {
	out, err := service.GetPublicKey(ctx, &kms.GetPublicKeyInput{KeyId: &id})
	if awserr.Code(err) == "NotFoundException" {
		return nil, fault.Newf(fault.AWS, "correct --sign-key (apps.NAME.sign_key), or the region", "asking for the public half: %w", awsfault.Brief(err))
	}
	if err != nil {
		return nil, awsfault.New("kms:GetPublicKey", "asking for the public half", err)
	}
	if out.KeySpec != types.KeySpecEccNistEdwards25519 {
		return nil, fault.Newf(fault.Usage, "aws kms create-key --key-usage SIGN_VERIFY --key-spec ECC_NIST_EDWARDS25519", "it is a key of spec %s", out.KeySpec)
	}
	parsed, err := x509.ParsePKIXPublicKey(out.PublicKey)
	raw, ok := parsed.(ed25519.PublicKey)
	if err != nil || !ok {
		return nil, errors.New("its public half is no Ed25519 key")
	}
	public, err := release.NewPublicKey(raw)
	if err != nil {
		return nil, err
	}
	return release.RemoteSigner(public, func(message []byte) ([]byte, error) {
		if len(message) > maxKMSMessage {
			return nil, fmt.Errorf("the document has %d bytes, KMS signs up to %d", len(message), maxKMSMessage)
		}
		ctx, cancel := context.WithTimeout(ctx, kmsTimeout)
		defer cancel()
		out, err := service.Sign(ctx, &kms.SignInput{KeyId: &id, Message: message, MessageType: types.MessageTypeRaw,
			SigningAlgorithm: types.SigningAlgorithmSpecEd25519Sha512})
		if err != nil {
			return nil, awsfault.New("kms:Sign", "signing with KMS key "+id, err)
		}
		return out.Signature, nil
	}), nil
}
