package actor

import (
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

// Address writes a target into an action, and returns the hash to send it to. An address
// that breaks the limits is an ErrInvalidRequest. For callers; a handshake that the target asks for still needs the name of a
// connection.
func Address(a *actorlogv1.Action, t Target) (schemas.Hash, error) {
	a.IdempotencyKey = t.IdempotencyKey
	if len(t.Params) > 0 {
		a.Handshake = &actorlogv1.Handshake{ParamsJson: t.Params}
	}
	if t.ID != "" {
		id, err := parseID(t.ID)
		if err != nil {
			return schemas.Hash{}, err
		}
		a.Actor = &actorlogv1.Actor{Generation: id.Generation}
		return id.Hash, nil
	}
	for _, err := range []error{schemas.ValidateNamespace(t.Namespace), schemas.ValidateKind(t.Kind), t.Key.Validate()} {
		if err != nil {
			return schemas.Hash{}, ErrInvalidRequest.Messagef("The address is not valid: %v.", err)
		}
	}
	if len(t.Input) > schemas.MaxInputLen {
		return schemas.Hash{}, ErrInvalidRequest.Messagef("The input has %d bytes, more than %d.", len(t.Input), schemas.MaxInputLen)
	}
	a.Actor = &actorlogv1.Actor{Namespace: t.Namespace, Kind: t.Kind, Key: t.Key}
	switch t.Presence {
	case CreateIfAbsent:
		a.Creation = &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT, InputJson: t.Input}
	case MustBeAbsent:
		a.Creation = &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT, InputJson: t.Input}
	}
	return schemas.HashOf(t.Namespace, t.Kind, t.Key), nil
}

// parseID reads an actor id. No actor has one that is none.
func parseID(text string) (schemas.ActorID, error) {
	id, err := schemas.ParseActorID(text)
	if err != nil {
		return id, ErrNotFound
	}
	return id, nil
}

func idOf(t Target, o *actorlogv1.Outcome) string {
	hash := schemas.HashOf(t.Namespace, t.Kind, t.Key)
	if t.ID != "" {
		id, err := parseID(t.ID)
		if err != nil {
			return ""
		}
		hash = id.Hash
	}
	return schemas.ActorID{Hash: hash, Generation: o.Actor.GetGeneration()}.String()
}
