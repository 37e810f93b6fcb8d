package wire

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/actorlog/actorlog/schemas"
)

func decodeActorsRequest(f Format, body []byte) (ActorsRequest, error) {
	var req ActorsRequest
	err := members(body, func(key string, value []byte) error {
		var into *string
		var text string
		switch key {
		case "name":
			into = &req.Name
		case "key", "input":
			into = &text
		case "runner_name_selector", "pool_name":
			into = &req.Pool
		case "crash_policy":
			into = &req.CrashPolicy
		case "datacenter":
			into = &req.Datacenter
		default:
			return nil
		}
		if absent(value) {
			return nil
		}
		var err error
		if *into, err = stringField(key, value); err != nil {
			return err
		}
		switch key {
		case "key":
			req.Key = schemas.ParseKey(text)
		case "input":
			data, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				return invalid("the input is no base64")
			}
			f.Encoding = BARE
			if req.Input, err = decodeInput(f, data); err != nil {
				return invalid("the input: %s", messageOf(err))
			}
		}
		return nil
	})
	if err == nil && req.Name == "" {
		err = invalid("the request has no name")
	}
	if err == nil {
		err = checkIdentity("", req.Name, req.Key)
	}
	if err != nil {
		return ActorsRequest{}, err
	}
	return req, nil
}

func parseActorsQuery(rawQuery string) (ActorsQuery, error) {
	var q ActorsQuery
	for part := range strings.SplitSeq(rawQuery, "&") {
		rawName, rawValue, _ := strings.Cut(part, "=")
		name, err := unescape(rawName, true)
		if err != nil {
			continue // not ours
		}
		switch name {
		case "namespace", "name", "key", "actor_ids":
		default:
			continue
		}
		value, err := unescape(rawValue, true)
		if err != nil {
			return ActorsQuery{}, invalid("%s: %v", name, err)
		}
		switch name {
		case "namespace":
			q.Namespace = value
		case "name":
			q.Name, q.HasName = value, true
		case "key":
			q.Key = schemas.ParseKey(value)
		case "actor_ids":
			for id := range strings.SplitSeq(value, ",") {
				if id != "" {
					q.IDs = append(q.IDs, id)
				}
			}
		}
	}
	if err := checkIdentity(q.Namespace, q.Name, q.Key); err != nil {
		return ActorsQuery{}, err
	}
	return q, nil
}

func appendTime(dst []byte, name string, ms int64) []byte {
	dst = append(append(append(dst, ',', '"'), name...), '"', ':')
	if ms == 0 {
		return append(dst, "null"...)
	}
	return strconv.AppendInt(dst, ms, 10)
}

func appendActor(dst []byte, a *Actor) []byte {
	pool, crash := a.Pool, a.CrashPolicy
	if pool == "" {
		pool = "default"
	}
	if crash == "" {
		crash = "sleep"
	}
	dst = appendJSONString(append(dst, `{"actor_id":`...), a.ID)
	dst = appendJSONString(append(dst, `,"name":`...), a.Name)
	dst = appendJSONString(append(dst, `,"key":`...), a.Key.String())
	dst = appendJSONString(append(dst, `,"namespace_id":`...), a.Namespace)
	dst = append(dst, `,"datacenter":"default","runner_name_selector":`...)
	dst = appendJSONString(dst, pool)
	dst = appendJSONString(append(dst, `,"crash_policy":`...), crash)
	dst = appendTime(dst, "create_ts", a.CreateTS)
	dst = appendTime(dst, "start_ts", a.StartTS)
	dst = appendTime(dst, "pending_allocation_ts", 0)
	dst = appendTime(dst, "connectable_ts", a.ConnectableTS)
	dst = appendTime(dst, "sleep_ts", a.SleepTS)
	dst = appendTime(dst, "reschedule_ts", 0)
	dst = appendTime(dst, "destroy_ts", a.DestroyTS)
	if len(a.Error) > 0 {
		at := len(dst)
		out, err := appendValue(append(dst, `,"error":`...), Format{}, a.Error, noList)
		if err != nil {
			out = out[:at]
		}
		dst = out
	}
	return append(dst, '}')
}

func appendActorAnswer(dst []byte, a *Actor, created *bool) []byte {
	dst = appendActor(append(dst, `{"actor":`...), a)
	if created != nil {
		dst = strconv.AppendBool(append(dst, `,"created":`...), *created)
	}
	return append(dst, '}')
}

func appendActorList(dst []byte, actors []Actor) []byte {
	dst = append(dst, `{"actors":[`...)
	for i := range actors {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendActor(dst, &actors[i])
	}
	return append(dst, `],"pagination":{"cursor":null}}`...)
}
