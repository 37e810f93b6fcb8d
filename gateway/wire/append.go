package wire

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"
)

// layout is the version of the layout to write: 2 is what every client understands.
func (f Format) layout() uint16 {
	if f.Version == 0 {
		return 2
	}
	return f.Version
}

func appendVersion(dst []byte, f Format) []byte {
	return binary.LittleEndian.AppendUint16(dst, f.layout())
}

func appendBAREString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// fixBARELen puts the length of what follows into the one byte that was left for it.
func fixBARELen(dst []byte, at int) []byte {
	n := len(dst) - at - 1
	if n < 0x80 {
		dst[at] = byte(n)
		return dst
	}
	var buf [binary.MaxVarintLen64]byte
	size := binary.PutUvarint(buf[:], uint64(n))
	dst = append(dst, buf[1:size]...) // room
	copy(dst[at+size:], dst[at+1:at+1+n])
	copy(dst[at:], buf[:size])
	return dst
}

// appendBAREActor writes optional<ActorSpecifier>.
func appendBAREActor(dst []byte, a *ActorRef) []byte {
	if a == nil {
		return append(dst, 0)
	}
	dst = appendBAREString(append(dst, 1), a.ID)
	dst = binary.AppendUvarint(dst, a.Generation)
	if a.Key == "" {
		return append(dst, 0)
	}
	return appendBAREString(append(dst, 1), a.Key)
}

// appendBAREError writes the fields that Error and HttpResponseError begin with.
func appendBAREError(dst []byte, f Format, e *Error) []byte {
	dst = appendBAREString(dst, e.Group)
	dst = appendBAREString(dst, e.Code)
	dst = appendBAREString(dst, e.Message)
	if len(e.Metadata) == 0 {
		return append(dst, 0)
	}
	at := len(dst)
	out, err := appendValue(append(dst, 1, 0), f, e.Metadata, noList)
	if err != nil {
		return append(dst[:at], 0)
	}
	return fixBARELen(out, at+1)
}

func appendJSONActor(dst []byte, a *ActorRef) []byte {
	dst = appendJSONString(append(dst, `"actor":{"actorId":`...), a.ID)
	dst = strconv.AppendUint(append(dst, `,"generation":`...), a.Generation, 10)
	if a.Key != "" {
		dst = appendJSONString(append(dst, `,"key":`...), a.Key)
	}
	return append(dst, '}', ',')
}

// appendJSONError writes the members of an error, in the alphabetical order of the real
// server, and closes the object.
func appendJSONError(dst []byte, f Format, e *Error, actor *ActorRef) []byte {
	if actor != nil {
		dst = appendJSONActor(dst, actor)
	}
	dst = appendJSONString(append(dst, `"code":`...), e.Code)
	dst = appendJSONString(append(dst, `,"group":`...), e.Group)
	dst = appendJSONString(append(dst, `,"message":`...), e.Message)
	if len(e.Metadata) > 0 {
		at := len(dst)
		out, err := appendValue(append(dst, `,"metadata":`...), f, e.Metadata, noList)
		if err != nil {
			out = out[:at]
		}
		dst = out
	}
	return append(dst, '}')
}

func appendCBORPair(dst []byte, key, value string) []byte {
	return appendCBORText(appendCBORText(dst, key), value)
}

// appendCBORError writes the members of an error into a map, with actionId, if socket.
func appendCBORError(dst []byte, f Format, e *Error, socket bool, actionID *uint64, actor *ActorRef) []byte {
	at := len(dst)
	n := uint64(3)
	dst = append(dst, 0)
	dst = appendCBORPair(dst, "group", e.Group)
	dst = appendCBORPair(dst, "code", e.Code)
	dst = appendCBORPair(dst, "message", e.Message)
	if len(e.Metadata) > 0 {
		before := len(dst)
		out, err := appendValue(appendCBORText(dst, "metadata"), f, e.Metadata, noList)
		if err != nil {
			out = out[:before]
		} else {
			n++
		}
		dst = out
	}
	if actor != nil {
		n++
		dst = appendCBORText(dst, "actor")
		if actor.Key == "" {
			dst = append(dst, 0xa2)
		} else {
			dst = append(dst, 0xa3)
		}
		dst = appendCBORPair(dst, "actorId", actor.ID)
		dst = appendCBORUint64(appendCBORText(dst, "generation"), actor.Generation)
		if actor.Key != "" {
			dst = appendCBORPair(dst, "key", actor.Key)
		}
	}
	if socket {
		n++
		dst = appendCBORText(dst, "actionId")
		if actionID == nil {
			dst = append(dst, 0xf6)
		} else {
			dst = appendCBORUint64(dst, *actionID)
		}
	}
	dst[at] = 0xa0 | byte(n)
	return dst
}

func appendActionResponse(dst []byte, f Format, output []byte) ([]byte, error) {
	at := len(dst)
	var err error
	switch f.Encoding {
	case BARE:
		dst = append(appendVersion(dst, f), 0)
		start := len(dst) - 1
		if dst, err = appendOutput(dst, f, output); err == nil {
			dst = fixBARELen(dst, start)
		}
	case CBOR:
		dst, err = appendOutput(append(dst, "\xa1\x66output"...), f, output)
	default:
		dst, err = appendOutput(append(dst, `{"output":`...), f, output)
		dst = append(dst, '}')
	}
	if err != nil {
		return dst[:at], err
	}
	return dst, nil
}

func appendQueueResponse(dst []byte, f Format, status string, response []byte) ([]byte, error) {
	at := len(dst)
	var err error
	switch f.Encoding {
	case BARE:
		dst = appendBAREString(appendVersion(dst, f), status)
		if len(response) == 0 {
			return append(dst, 0), nil
		}
		dst = append(dst, 1, 0)
		start := len(dst) - 1
		if dst, err = appendValue(dst, f, response, noList); err == nil {
			dst = fixBARELen(dst, start)
		}
	case CBOR:
		if len(response) == 0 {
			return appendCBORPair(append(dst, 0xa1), "status", status), nil
		}
		dst = appendCBORPair(append(dst, 0xa2), "status", status)
		dst, err = appendValue(appendCBORText(dst, "response"), f, response, noList)
	default:
		dst = appendJSONString(append(dst, `{"status":`...), status)
		if len(response) > 0 {
			dst, err = appendValue(append(dst, `,"response":`...), f, response, noList)
		}
		dst = append(dst, '}')
	}
	if err != nil {
		return dst[:at], err
	}
	return dst, nil
}

func appendErrorBody(dst []byte, f Format, e *Error, actor *ActorRef) []byte {
	switch f.Encoding {
	case BARE:
		dst = appendBAREError(appendVersion(dst, f), f, e)
		if f.layout() >= 4 {
			dst = appendBAREActor(dst, actor)
		}
		return dst
	case CBOR:
		return appendCBORError(dst, f, e, false, nil, actor)
	}
	return appendJSONError(append(dst, '{'), f, e, actor)
}

// Beginnings of socket messages: everything up to the fields of val.
const (
	jsonInit   = `{"body":{"tag":"Init","val":{"actorId":`
	jsonError  = `{"body":{"tag":"Error","val":{"actionId":`
	jsonResult = `{"body":{"tag":"ActionResponse","val":{"id":["$BigInt","`
	jsonEvent  = `{"body":{"tag":"Event","val":{"args":`

	cborInit   = "\xa1\x64body\xa2\x63tag\x64Init\x63val"
	cborError  = "\xa1\x64body\xa2\x63tag\x65Error\x63val"
	cborResult = "\xa1\x64body\xa2\x63tag\x6eActionResponse\x63val\xa2\x62id"
	cborEvent  = "\xa1\x64body\xa2\x63tag\x65Event\x63val\xa2\x64name"
)

func appendInit(dst []byte, f Format, actorID, connID string) []byte {
	switch f.Encoding {
	case BARE:
		dst = append(appendVersion(dst, f), toClientInit)
		dst = appendBAREString(appendBAREString(dst, actorID), connID)
		if f.layout() == 1 {
			dst = append(dst, 0) // the token that version 1 had
		}
		return dst
	case CBOR:
		dst = append(append(dst, cborInit...), 0xa2)
		return appendCBORPair(appendCBORPair(dst, "actorId", actorID), "connectionId", connID)
	}
	dst = appendJSONString(append(dst, jsonInit...), actorID)
	dst = appendJSONString(append(dst, `,"connectionId":`...), connID)
	return append(dst, "}}}"...)
}

func appendEvent(dst []byte, f Format, name string, args []byte) ([]byte, error) {
	at := len(dst)
	var err error
	switch f.Encoding {
	case BARE:
		dst = appendBAREString(append(appendVersion(dst, f), toClientEvent), name)
		dst = append(dst, 0)
		start := len(dst) - 1
		if dst, err = appendArgs(dst, f, args); err == nil {
			dst = fixBARELen(dst, start)
		}
	case CBOR:
		dst = appendCBORText(append(dst, cborEvent...), name)
		dst, err = appendArgs(append(dst, "\x64args"...), f, args)
	default:
		if dst, err = appendArgs(append(dst, jsonEvent...), f, args); err == nil {
			dst = appendJSONString(append(dst, `,"name":`...), name)
			dst = append(dst, "}}}"...)
		}
	}
	if err != nil {
		return dst[:at], err
	}
	return dst, nil
}

func appendActionResult(dst []byte, f Format, id uint64, output []byte) ([]byte, error) {
	at := len(dst)
	var err error
	switch f.Encoding {
	case BARE:
		dst = binary.AppendUvarint(append(appendVersion(dst, f), toClientResult), id)
		dst = append(dst, 0)
		start := len(dst) - 1
		if dst, err = appendOutput(dst, f, output); err == nil {
			dst = fixBARELen(dst, start)
		}
	case CBOR:
		dst = appendCBORUint64(append(dst, cborResult...), id)
		dst, err = appendOutput(append(dst, "\x66output"...), f, output)
	default:
		dst = strconv.AppendUint(append(dst, jsonResult...), id, 10)
		dst, err = appendOutput(append(dst, `"],"output":`...), f, output)
		dst = append(dst, "}}}"...)
	}
	if err != nil {
		return dst[:at], err
	}
	return dst, nil
}

func appendErrorFrame(dst []byte, f Format, e *Error, actionID *uint64, actor *ActorRef) []byte {
	switch f.Encoding {
	case BARE:
		dst = appendBAREError(append(appendVersion(dst, f), toClientError), f, e)
		if actionID == nil {
			dst = append(dst, 0)
		} else {
			dst = binary.AppendUvarint(append(dst, 1), *actionID)
		}
		if f.layout() >= 4 {
			dst = appendBAREActor(dst, actor)
		}
		return dst
	case CBOR:
		return appendCBORError(append(dst, cborError...), f, e, true, actionID, actor)
	}
	dst = append(dst, jsonError...)
	if actionID == nil {
		dst = append(dst, "null,"...)
	} else {
		dst = append(dst, `["$BigInt","`...)
		dst = strconv.AppendUint(dst, *actionID, 10)
		dst = append(dst, `"],`...)
	}
	return append(appendJSONError(dst, f, e, actor), "}}"...)
}
