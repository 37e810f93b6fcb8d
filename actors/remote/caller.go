package remote

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/schemas"
	actorlogv1 "github.com/actorlog/actorlog/schemas/actorlog/v1"
)

var _ actor.Caller = (*Client)(nil)

// Invoke implements actor.Caller.
func (c *Client) Invoke(ctx context.Context, t actor.Target, action string, args json.RawMessage) (json.RawMessage, error) {
	d, err := c.call(ctx, t, &actorlogv1.Action{
		Body: &actorlogv1.Action_Invoke{Invoke: &actorlogv1.Invoke{Name: action, ArgsJson: args}},
	})
	if err != nil {
		return nil, err
	}
	return d.Outcome.ResultJson, nil
}

// Resolve implements actor.Caller.
func (c *Client) Resolve(ctx context.Context, t actor.Target) (string, bool, error) {
	d, err := c.call(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Resolve{Resolve: &actorlogv1.Resolve{}}})
	if err != nil {
		return "", false, err
	}
	id := schemas.ActorID{Hash: d.Hash, Generation: d.Outcome.Actor.GetGeneration()}
	return id.String(), d.Outcome.Lifecycle == actorlogv1.Lifecycle_LIFECYCLE_CREATED, nil
}

// Read implements actor.Caller.
func (c *Client) Read(ctx context.Context, t actor.Target) (json.RawMessage, error) {
	d, err := c.call(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Read{Read: &actorlogv1.Read{}}})
	if err != nil {
		return nil, err
	}
	return d.Outcome.ResultJson, nil
}

// Destroy implements actor.Caller.
func (c *Client) Destroy(ctx context.Context, t actor.Target) error {
	_, err := c.call(ctx, t, &actorlogv1.Action{Body: &actorlogv1.Action_Destroy{Destroy: &actorlogv1.Destroy{}}})
	return err
}

func (c *Client) call(ctx context.Context, t actor.Target, a *actorlogv1.Action) (*Delivery, error) {
	hash, err := Address(a, t)
	if err != nil {
		return nil, err
	}
	d, _, err := c.Do(ctx, Request{Hash: hash, Action: a})
	if err != nil {
		return nil, fmt.Errorf("calling actor %s: %w", hash, err)
	}
	if e := d.Outcome.Error; e != nil {
		return nil, &actor.Error{Group: e.Group, Code: e.Code, Message: e.Message, Metadata: e.MetadataJson}
	}
	return d, nil
}

// Address writes the target into an action, and returns the hash to send it to. An address
// that breaks the limits is an actor.ErrInvalidRequest.
func Address(a *actorlogv1.Action, t actor.Target) (schemas.Hash, error) {
	a.IdempotencyKey = t.IdempotencyKey
	if t.ID != "" {
		id, err := schemas.ParseActorID(t.ID)
		if err != nil {
			// No actor has such an id.
			return schemas.Hash{}, actor.ErrNotFound
		}
		a.Actor = &actorlogv1.Actor{Generation: id.Generation}
		return id.Hash, nil
	}
	for _, err := range []error{schemas.ValidateNamespace(t.Namespace), schemas.ValidateKind(t.Kind), t.Key.Validate()} {
		if err != nil {
			return schemas.Hash{}, actor.ErrInvalidRequest.Messagef("The address is not valid: %v.", err)
		}
	}
	if len(t.Input) > schemas.MaxInputLen {
		return schemas.Hash{}, actor.ErrInvalidRequest.Messagef("The input has %d bytes, more than %d.", len(t.Input), schemas.MaxInputLen)
	}
	a.Actor = &actorlogv1.Actor{Namespace: t.Namespace, Kind: t.Kind, Key: t.Key}
	switch t.Presence {
	case actor.CreateIfAbsent:
		a.Creation = &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_IF_ABSENT, InputJson: t.Input}
	case actor.MustBeAbsent:
		a.Creation = &actorlogv1.Creation{Policy: actorlogv1.Creation_POLICY_MUST_BE_ABSENT, InputJson: t.Input}
	}
	return schemas.HashOf(t.Namespace, t.Kind, t.Key), nil
}
