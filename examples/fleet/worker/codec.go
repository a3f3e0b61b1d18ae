package worker

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"
)

const (
	keySize  = 32
	encoding = "binary/encrypted"
)

// codec encrypts payloads with AES-GCM.
type codec struct{ aead cipher.AEAD }

func newCodec(key []byte) converter.PayloadCodec {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // it is of another size
	}
	aead, _ := cipher.NewGCMWithRandomNonce(block) // AES has the block size of GCM
	return codec{aead}
}

// Encode implements converter.PayloadCodec.
func (c codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		plain, err := p.Marshal()
		if err != nil {
			return nil, fmt.Errorf("encrypt payload: %w", err)
		}
		out[i] = &commonpb.Payload{
			Metadata: map[string][]byte{converter.MetadataEncoding: []byte(encoding)},
			Data:     c.aead.Seal(nil, nil, plain, nil), //nolint:gosec // it makes a random nonce
		}
	}
	return out, nil
}

// Decode implements converter.PayloadCodec.
func (c codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		if string(p.GetMetadata()[converter.MetadataEncoding]) != encoding {
			out[i] = p // from before there was a key
			continue
		}
		plain, err := c.aead.Open(nil, nil, p.GetData(), nil)
		if err != nil {
			return nil, errors.New("decrypt payload: another key")
		}
		out[i] = &commonpb.Payload{}
		if err := out[i].Unmarshal(plain); err != nil {
			return nil, fmt.Errorf("decrypt payload: %w", err)
		}
	}
	return out, nil
}
