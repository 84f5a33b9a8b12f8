package host

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
)

// Limits of an upload. A request may have 64 KiB; the SSM agent works on five
// commands at a time.
const (
	chunkSize  = 33 << 10 // bytes of ciphertext a command, 44 KiB in base64
	inlineSize = 9 << 10  // bytes of ciphertext that travel with the script they are for
	uploadMax  = 64 << 20 // bytes before compression
	uploaders  = 4
)

// newRunID names one command on the machine.
func newRunID() (string, error) {
	b := make([]byte, 8)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("naming a command: %w", err)
	}
	return hex.EncodeToString(b), nil
}

// upload sends what r gives to the machine, compressed and encrypted, and
// returns the script that makes the file ID.in of it.
func (s *SSM) upload(ctx context.Context, id string, r io.Reader) (string, error) {
	packed, sum, err := pack(r)
	if err != nil {
		return "", err
	}
	sealed, open, err := s.seal(packed)
	if err != nil {
		return "", err
	}
	open = strings.ReplaceAll(open+`echo "`+sum+`  @.in" | sha256sum -c --quiet - >&2
rm -f @.p*
`, "@", id)
	if len(sealed) <= inlineSize {
		return partScript(id, 0, sealed) + open, nil
	}
	return "set -eu\numask 077\ncd " + ssmDir + "\n" + open, s.sendParts(ctx, id, sealed)
}

// pack reads everything, compresses it, and hashes what it was.
func pack(r io.Reader) (packed []byte, sum string, err error) {
	var b bytes.Buffer
	hash, z := sha256.New(), gzip.NewWriter(&b)
	n, err := io.Copy(io.MultiWriter(z, hash), io.LimitReader(r, uploadMax+1))
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, "", fmt.Errorf("reading what to send: %w", err)
	}
	if n > uploadMax {
		return nil, "", fmt.Errorf("sending by SSM: more than %d MiB", uploadMax>>20)
	}
	return b.Bytes(), hex.EncodeToString(hash.Sum(nil)), nil
}

// seal encrypts for the machine: AES-256 in counter mode with a key of this
// upload's own, which is wrapped with RSA-OAEP. open is the script that undoes
// it; integrity is checked by digest afterwards.
func (s *SSM) seal(plain []byte) (sealed []byte, open string, err error) {
	key, iv := make([]byte, 32), make([]byte, aes.BlockSize)
	for _, b := range [][]byte{key, iv} {
		if _, err := rand.Read(b); err != nil {
			return nil, "", fmt.Errorf("encrypting for the machine: %w", err)
		}
	}
	wrapped, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, s.public, key, nil)
	if err != nil {
		return nil, "", fmt.Errorf("encrypting for the machine: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, "", fmt.Errorf("encrypting for the machine: %w", err)
	}
	sealed = make([]byte, len(plain))
	cipher.NewCTR(block, iv).XORKeyStream(sealed, plain)
	return sealed, `k=$(echo ` + base64.StdEncoding.EncodeToString(wrapped) + ` | base64 -d | openssl pkeyutl -decrypt -inkey key -pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 | od -An -v -tx1 | tr -d ' \n')
cat @.p* | openssl enc -d -aes-256-ctr -K "$k" -iv ` + hex.EncodeToString(iv) + ` | gzip -d >@.in
unset k
`, nil
}

// partScript writes one part of an upload.
func partScript(id string, n int, part []byte) string {
	return fmt.Sprintf("set -eu\numask 077\ncd %s\necho %s | base64 -d >%s.p%05d\n", ssmDir, base64.StdEncoding.EncodeToString(part), id, n)
}

// sendParts sends the parts of an upload, several at a time.
func (s *SSM) sendParts(ctx context.Context, id string, sealed []byte) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	parts := make(chan int)
	var wait sync.WaitGroup
	for range uploaders {
		wait.Go(func() {
			for n := range parts {
				part := sealed[n*chunkSize : min(len(sealed), (n+1)*chunkSize)]
				if _, err := s.invoke(ctx, partScript(id, n, part)); err != nil {
					cancel(fmt.Errorf("sending part %d: %w", n+1, err))
				}
			}
		})
	}
	for n := 0; n*chunkSize < len(sealed) && ctx.Err() == nil; n++ {
		select {
		case parts <- n:
		case <-ctx.Done():
		}
	}
	close(parts)
	wait.Wait()
	return context.Cause(ctx)
}
