package terraform

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// maxDepth is how deep values may be nested. Terraform's own are a few deep.
const maxDepth = 100

// unpackValues reads a resource's values as a plan has them: as JSON would be
// read, but that what is not known yet is null.
func unpackValues(packed []byte) (map[string]any, error) {
	dec := msgpack.NewDecoder(bytes.NewReader(packed))
	value, err := unpackValue(dec, 0)
	if err != nil {
		return nil, err
	}
	values, ok := value.(map[string]any)
	if !ok && value != nil {
		return nil, fmt.Errorf("a %T is no resource", value)
	}
	return values, nil
}

func unpackValue(dec *msgpack.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested more than %d deep", maxDepth)
	}
	code, err := dec.PeekCode()
	if err != nil {
		return nil, err
	}
	switch {
	case code == msgpcode.Nil:
		return nil, dec.DecodeNil()
	case code == msgpcode.True, code == msgpcode.False:
		return dec.DecodeBool()
	case msgpcode.IsString(code):
		return dec.DecodeString()
	case msgpcode.IsFixedMap(code), code == msgpcode.Map16, code == msgpcode.Map32:
		return unpackMap(dec, depth)
	case msgpcode.IsFixedArray(code), code == msgpcode.Array16, code == msgpcode.Array32:
		return unpackList(dec, depth)
	case msgpcode.IsExt(code): // not known yet
		_, size, err := dec.DecodeExtHeader()
		if err != nil {
			return nil, err
		}
		return nil, skip(dec, size)
	default:
		return dec.DecodeFloat64()
	}
}

func unpackMap(dec *msgpack.Decoder, depth int) (map[string]any, error) {
	n, err := dec.DecodeMapLen()
	if err != nil {
		return nil, err
	}
	values := make(map[string]any)
	for range n {
		key, err := dec.DecodeString()
		if err != nil {
			return nil, err
		}
		if values[key], err = unpackValue(dec, depth+1); err != nil {
			return nil, err
		}
	}
	return values, nil
}

func unpackList(dec *msgpack.Decoder, depth int) (any, error) {
	n, err := dec.DecodeArrayLen()
	if err != nil {
		return nil, err
	}
	// A value of any type comes with its type, in bytes, which nothing else is.
	if code, err := dec.PeekCode(); err == nil && n == 2 && msgpcode.IsBin(code) {
		if _, err := dec.DecodeBytes(); err != nil {
			return nil, err
		}
		return unpackValue(dec, depth+1)
	}
	values := []any{}
	for range n {
		value, err := unpackValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, nil
}

// skip reads past size bytes.
func skip(dec *msgpack.Decoder, size int) error {
	// What says why a value is not known takes a few; the length is not to be
	// trusted more than the rest.
	const most = 64 << 10
	if size < 0 || size > most {
		return errors.New("an extension that is too long")
	}
	return dec.ReadFull(make([]byte, size))
}
