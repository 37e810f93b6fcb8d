package wire

import (
	"encoding/binary"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Versions of the protocol that exist.
const (
	minVersion = 1
	maxVersion = 4
)

func invalid(format string, args ...any) *Error {
	return Errorf("actor", "invalid_request", format, args...)
}

// bareReader reads BARE (RIVET-PROTOCOL.md 5.3). The first error sticks.
type bareReader struct {
	src []byte
	pos int
	err error
}

func (r *bareReader) fail(what string) {
	if r.err == nil {
		r.err = invalid("invalid BARE: %s at byte %d", what, r.pos)
	}
}

func (r *bareReader) u8() byte {
	if r.err != nil || r.pos >= len(r.src) {
		r.fail("unexpected end")
		return 0
	}
	r.pos++
	return r.src[r.pos-1]
}

func (r *bareReader) boolean() bool {
	b := r.u8()
	if b > 1 {
		r.fail("neither true nor false")
	}
	return b == 1
}

func (r *bareReader) uint() uint64 {
	if r.err != nil {
		return 0
	}
	n, size := binary.Uvarint(r.src[r.pos:])
	if size <= 0 {
		r.fail("invalid uint")
		return 0
	}
	r.pos += size
	return n
}

func (r *bareReader) data() []byte {
	n := r.uint()
	if r.err != nil {
		return nil
	}
	if n > uint64(len(r.src)-r.pos) {
		r.fail("unexpected end")
		return nil
	}
	r.pos += int(n)
	return r.src[r.pos-int(n) : r.pos]
}

func (r *bareReader) str() string {
	b := r.data()
	if !utf8.Valid(b) {
		r.fail("invalid UTF-8")
	}
	return string(b)
}

func (r *bareReader) u64() uint64 {
	if r.err != nil || len(r.src)-r.pos < 8 {
		r.fail("unexpected end")
		return 0
	}
	r.pos += 8
	return binary.LittleEndian.Uint64(r.src[r.pos-8:])
}

// end is the first error, or that there are bytes left.
func (r *bareReader) end() error {
	if r.err == nil && r.pos != len(r.src) {
		r.fail("bytes after the message")
	}
	return r.err
}

// openBARE reads the version word and returns a reader for the rest.
func openBARE(f Format, body []byte) (bareReader, Format, error) {
	if len(body) < 2 {
		return bareReader{}, f, invalid("message without a version")
	}
	v := binary.LittleEndian.Uint16(body)
	if v < minVersion || v > maxVersion {
		return bareReader{}, f, invalid("unknown protocol version %d", v)
	}
	f.Version = v
	return bareReader{src: body, pos: 2}, f, nil
}

// members reads a JSON object and hands out its members. The values are checked.
func members(text []byte, fn func(key string, value []byte) error) error {
	r := jsonReader{src: text, discard: true, unique: true}
	if r.peek() != '{' {
		return invalid("the message is no object")
	}
	var seen jsonReader // holds the keys of this object
	keys := keySet{}
	r.pos++
	for n := 0; r.peek() != '}'; n++ {
		if n > 0 {
			if r.peek() != ',' {
				return r.fail("missing comma")
			}
			r.pos++
		}
		if r.peek() != '"' {
			return r.fail("missing key")
		}
		start := r.pos
		if _, err := r.skipString(); err != nil {
			return err
		}
		key := unquote(nil, r.src[start+1:r.pos-1])
		if !keys.add(&seen.keys, key) {
			return r.fail("duplicate key")
		}
		if r.peek() != ':' {
			return r.fail("missing colon")
		}
		r.pos++
		r.space()
		start = r.pos
		if err := r.value(noList); err != nil {
			return err
		}
		if err := fn(string(key), r.src[start:r.pos]); err != nil {
			return err
		}
	}
	r.pos++
	if r.space(); r.pos != len(r.src) {
		return r.fail("text after the message")
	}
	return nil
}

// envelope is a JSON or CBOR message as JSON text: a CBOR message is transcoded as a whole.
func envelope(f Format, body []byte) ([]byte, error) {
	if f.Encoding == JSON {
		return body, nil
	}
	return decodeCBOR(f, body)
}

// argsField is the list of arguments in a member of an envelope.
func argsField(value []byte) (json.RawMessage, error) {
	text, err := normalize(value, tagsStore)
	if err != nil {
		return nil, err
	}
	return argsList(text), nil
}

// bareArgs reads a list of arguments, a CBOR item in BARE data.
func bareArgs(f Format, data []byte) (json.RawMessage, error) {
	text, err := decodeCBOR(f, data)
	if err != nil {
		return nil, err
	}
	return argsList(text), nil
}

func stringField(name string, value []byte) (string, error) {
	if value[0] != '"' {
		return "", invalid("%s is no string", name)
	}
	return string(unquote(nil, value[1:len(value)-1])), nil
}

// absent: null and undefined are as good as nothing for optional fields.
func absent(value []byte) bool {
	if string(value) == "null" {
		return true
	}
	text, err := normalize(value, tagsStore)
	return err == nil && string(text) == `["$Undefined",0]`
}

// uintField reads a non-negative integer: a plain number, or ["$BigInt","n"].
func uintField(name string, value []byte) (uint64, error) {
	if value[0] == '[' {
		text, err := normalize(value, tagsStore)
		if err == nil {
			const open, end = `["$BigInt","`, `"]`
			s, ok := strings.CutPrefix(string(text), open)
			if s, ok2 := strings.CutSuffix(s, end); ok && ok2 {
				value = []byte(s)
			}
		}
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err == nil {
		return n, nil
	}
	// 4e3, or 4000.0: JSON does not tell them from 4000.
	if f, err := strconv.ParseFloat(string(value), 64); err == nil && f >= 0 && f <= 1<<53 && f == float64(uint64(f)) {
		return uint64(f), nil
	}
	return 0, invalid("%s is no unsigned integer", name)
}

func boolField(name string, value []byte) (bool, error) {
	switch string(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid("%s is neither true nor false", name)
}

func decodeActionRequest(f Format, body []byte) (req ActionRequest, answer Format, err error) {
	if f.Encoding == BARE {
		r, f, err := openBARE(f, body)
		if err != nil {
			return req, f, err
		}
		data := r.data()
		if err := r.end(); err != nil {
			return req, f, err
		}
		req.Args, err = bareArgs(f, data)
		return req, f, err
	}
	text, err := envelope(f, body)
	if err != nil {
		return req, f, err
	}
	err = members(text, func(key string, value []byte) (err error) {
		if key == "args" {
			req.Args, err = argsField(value)
		}
		return err
	})
	if err == nil && req.Args == nil {
		err = invalid("the request has no args")
	}
	if err != nil {
		return ActionRequest{}, f, err
	}
	return req, f, nil
}

func decodeQueueRequest(f Format, body []byte) (req QueueRequest, answer Format, err error) {
	if f.Encoding == BARE {
		r, f, err := openBARE(f, body)
		if err != nil {
			return req, f, err
		}
		if f.Version < 3 {
			return req, f, invalid("protocol version %d has no queues", f.Version)
		}
		data := r.data()
		if r.boolean() {
			req.Name = r.str()
		}
		if r.boolean() {
			req.Wait = r.boolean()
		}
		if r.boolean() {
			req.TimeoutMS, req.HasTimeout = r.u64(), true
		}
		if err := r.end(); err != nil {
			return QueueRequest{}, f, err
		}
		if req.Body, err = decodeCBOR(f, data); err != nil {
			return QueueRequest{}, f, err
		}
		return req, f, nil
	}
	text, err := envelope(f, body)
	if err != nil {
		return req, f, err
	}
	err = members(text, func(key string, value []byte) (err error) {
		switch key {
		case "body":
			req.Body, err = normalize(value, tagsStore)
		case "name":
			if !absent(value) {
				req.Name, err = stringField(key, value)
			}
		case "wait":
			if !absent(value) {
				req.Wait, err = boolField(key, value)
			}
		case "timeout":
			if !absent(value) {
				req.TimeoutMS, err = uintField(key, value)
				req.HasTimeout = true
			}
		}
		return err
	})
	if err != nil {
		return QueueRequest{}, f, err
	}
	return req, f, nil
}

// Numbers of the members of ToServer and ToClient in BARE.
const (
	toServerAction       = 0
	toServerSubscription = 1

	toClientInit   = 0
	toClientError  = 1
	toClientResult = 2
	toClientEvent  = 3
)

func decodeClientMessage(f Format, data []byte) (msg ClientMessage, next Format, err error) {
	if f.Encoding == BARE {
		return decodeBAREMessage(f, data)
	}
	text, err := envelope(f, data)
	if err != nil {
		return msg, f, err
	}
	var body, val []byte
	var tag string
	err = members(text, func(key string, value []byte) error {
		if key == "body" {
			body = value
		}
		return nil
	})
	if err == nil && body == nil {
		err = invalid("the message has no body")
	}
	if err == nil {
		err = members(body, func(key string, value []byte) (err error) {
			switch key {
			case "tag":
				tag, err = stringField(key, value)
			case "val":
				val = value
			}
			return err
		})
	}
	if err == nil && val == nil {
		err = invalid("the message has no val")
	}
	if err != nil {
		return ClientMessage{}, f, err
	}
	switch tag {
	case "ActionRequest":
		msg, err = actionMessage(val)
	case "SubscriptionRequest":
		msg, err = subscriptionMessage(val)
	default:
		err = invalid("unknown message %q", clip(tag))
	}
	if err != nil {
		return ClientMessage{}, f, err
	}
	return msg, f, nil
}

// clip bounds what an error repeats of a client's text.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "..."
	}
	return s
}

func actionMessage(val []byte) (ClientMessage, error) {
	msg := ClientMessage{Kind: MessageAction}
	var id, name bool
	err := members(val, func(key string, value []byte) (err error) {
		switch key {
		case "id":
			id = true
			msg.ID, err = uintField(key, value)
		case "name":
			name = true
			msg.Name, err = stringField(key, value)
		case "args":
			msg.Args, err = argsField(value)
		case "idempotencyKey":
			if !absent(value) {
				msg.IdempotencyKey, err = stringField(key, value)
			}
		}
		return err
	})
	if err == nil && !(id && name && msg.Args != nil) {
		err = invalid("an ActionRequest needs id, name and args")
	}
	return msg, err
}

func subscriptionMessage(val []byte) (ClientMessage, error) {
	msg := ClientMessage{Kind: MessageSubscription}
	var name, subscribe bool
	err := members(val, func(key string, value []byte) (err error) {
		switch key {
		case "eventName":
			name = true
			msg.Name, err = stringField(key, value)
		case "subscribe":
			subscribe = true
			msg.Subscribe, err = boolField(key, value)
		}
		return err
	})
	if err == nil && !(name && subscribe) {
		err = invalid("a SubscriptionRequest needs eventName and subscribe")
	}
	return msg, err
}

func decodeBAREMessage(f Format, data []byte) (ClientMessage, Format, error) {
	r, f, err := openBARE(f, data)
	if err != nil {
		return ClientMessage{}, f, err
	}
	var msg ClientMessage
	switch r.uint() {
	case toServerAction:
		msg.Kind = MessageAction
		msg.ID = r.uint()
		msg.Name = r.str()
		args := r.data()
		if err := r.end(); err != nil {
			return ClientMessage{}, f, err
		}
		if msg.Args, err = bareArgs(f, args); err != nil {
			return ClientMessage{}, f, err
		}
		return msg, f, nil
	case toServerSubscription:
		msg.Kind = MessageSubscription
		msg.Name = r.str()
		msg.Subscribe = r.boolean()
	default:
		r.fail("unknown message")
	}
	if err := r.end(); err != nil {
		return ClientMessage{}, f, err
	}
	return msg, f, nil
}
