package audit

import (
	"encoding/json"

	"github.com/actorlog/actorlog/internal/jsonpatch"
)

// Changes is the operations of an outcome's patch that touch what the filter asks for, or that the state was written as a whole. Stores have patch and state
// in different places, and this in common.
func (f *Filter) Changes(patch, state []byte) []json.RawMessage {
	if len(state) > 0 {
		w := struct {
			Op    string          `json:"op"`
			Path  string          `json:"path"`
			Value json.RawMessage `json:"value,omitempty"`
		}{Op: "write", Path: f.Path}
		if value, ok := jsonpatch.At(state, f.Path); ok {
			w.Value = value
		}
		b, err := json.Marshal(w)
		if err != nil { // the state is no JSON
			b, _ = json.Marshal(map[string]string{"op": "write", "path": f.Path})
		}
		return []json.RawMessage{b}
	}
	var all []json.RawMessage
	_ = jsonpatch.Each(patch, func(o jsonpatch.Op) bool { // one that cannot be read has taken its actor out of service
		if !f.HasPath || Touches(o.Path, f.Path) || o.From != "" && Touches(o.From, f.Path) {
			all = append(all, json.RawMessage(o.Text))
		}
		return true
	})
	return all
}

// JSON is a text of the log as a part of an answer: nil if there is none, and a string if it is no JSON.
func JSON(b []byte) json.RawMessage {
	if len(b) == 0 {
		return nil
	}
	if !json.Valid(b) {
		quoted, _ := json.Marshal(string(b))
		return quoted
	}
	return b
}
