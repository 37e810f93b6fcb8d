package snippets_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
	"github.com/actorlog/actorlog/actors/host"
)

type Document struct {
	Text string `json:"text"`
	Log  []Line `json:"log"`
}

var (
	documents = actor.New[Document]("document")
	edit      = actor.Action[string, Line](documents, "edit")
	save      = actor.Action[actor.None, actor.None](documents, "save")
)

// snippet: helpers

// Line says who did what, when.
type Line struct {
	Who  string    `json:"who"`
	What string    `json:"what"`
	At   time.Time `json:"at"`
}

// lineOf is a helper for the actions of all kinds: it takes the Ctx and nothing else.
func lineOf(c *actor.Ctx, what string) Line {
	return Line{Who: whoIs(c.Caller()), What: what, At: c.Now()}
}

func whoIs(by actor.CallerInfo) string {
	switch {
	case by.Actor != nil:
		return by.Actor.Kind + "/" + strings.Join(by.Actor.Key, "/")
	case by.ScheduleID != "":
		return "schedule " + by.ScheduleID
	case by.Principal != "":
		return by.Principal
	}
	return "somebody"
}

// A helper for one kind is a method of its state, or takes both.
func (s *Document) edit(c *actor.Ctx, text string) (Line, error) {
	s.Text = text
	line := lineOf(c, fmt.Sprintf("wrote %d bytes", len(text)))
	s.Log = append(s.Log, line)
	c.After(time.Minute, save.With(actor.None{}), actor.ScheduleID("save"))
	return line, nil
}

// disk is a helper for actions and background loops alike: both are an actor.Inside.
func disk(in actor.Inside) *storage { return actor.Vars[*storage](in) }

func (s *Document) save(c *actor.Ctx, _ actor.None) (n actor.None, err error) {
	s.Log = append(s.Log, lineOf(c, "saved"))
	return n, disk(c).put(c.ActorID(), s.Text)
}

// end snippet

type storage struct{ texts map[string]string }

func (s *storage) put(name, text string) error {
	s.texts[name] = text
	return nil
}

// snippet: metadata

// where is what an actor knows of itself, for logs and error messages.
func where(c *actor.Ctx) string {
	return fmt.Sprintf("%s %s/%v (%s), worker %s of %s in %s, request %s",
		c.Namespace(), c.Kind(), c.Key(), c.ActorID(), c.WorkerID(), c.CodeVersion(), c.Region(), c.RequestID())
}

// end snippet

func TestDocument(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		disk := &storage{texts: map[string]string{}}
		tell := actor.Action[actor.None, string](documents, "tell")
		ask := actor.Action[actor.None, Line](documents, "ask")
		w := actortest.NewWith(t, host.Config{ID: "w1", Version: "1.2", Region: "eu"}, func(r *actor.Registry) {
			actor.CreateVars(r, documents, func(*Document, *actor.Ctx) (*storage, error) { return disk, nil })
			actor.On(r, edit, (*Document).edit)
			actor.On(r, save, (*Document).save)
			actor.On(r, tell, func(_ *Document, c *actor.Ctx, _ actor.None) (string, error) { return where(c), nil })
			actor.On(r, ask, func(_ *Document, c *actor.Ctx, _ actor.None) (Line, error) {
				return edit.Call(c, documents.Get(c.Client(), "a"), "from b")
			})
		})
		a := documents.GetOrCreate(w.Client, "a")
		line, err := edit.Call(ctx, a, "hello")
		require.NoError(t, err)
		require.Equal(t, "somebody", line.Who)
		line, err = ask.Call(ctx, documents.GetOrCreate(w.Client, "b"), actor.None{})
		require.NoError(t, err)
		require.Equal(t, "document/b", line.Who)
		time.Sleep(2 * time.Minute)
		s, err := a.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, "schedule save", s.Log[2].Who)
		id, err := a.Resolve(ctx)
		require.NoError(t, err)
		require.Equal(t, "from b", disk.texts[id])
		text, err := tell.Call(ctx, a, actor.None{})
		require.NoError(t, err)
		require.Regexp(t, `^default document/\[a\] \(`+id+`\), worker w1 of 1.2 in eu, request .+$`, text)
	})
}
