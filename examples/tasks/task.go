package tasks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

// MaxFiles is how many files a task may have.
const MaxFiles = 100

// Task is a data actor: everything that survives of it. Its key is that of its project and its id.
type Task struct {
	Title   string     `json:"title"`
	Due     time.Time  `json:"due,omitzero"`
	Done    bool       `json:"done"`
	Overdue bool       `json:"overdue"`
	Files   []Attached `json:"files"`
}

// Attached is a file of a task.
type Attached struct {
	Name string `json:"name"`
	// Ref is where the store has it.
	Ref string `json:"ref"`
}

// File that shall be attached: at most 40 KiB, as a message has at most 64 KiB of JSON.
type File struct {
	Name    string `json:"name"`
	Content []byte `json:"content"` // base64 in JSON
}

// Receipt for a file.
type Receipt struct {
	// Ref is where the store has it; empty if it was refused.
	Ref string `json:"ref,omitempty"`
	// Refused says why.
	Refused string `json:"refused,omitempty"`
}

// The contract of tasks. A task is created by [Add], and ended with Destroy of its handle or with [Remove].
var (
	TaskKind = actor.New[Task]("task")
	Rename   = actor.Action[string, actor.None](TaskKind, "rename")
	SetDue   = actor.Action[time.Time, actor.None](TaskKind, "setDue")
	Complete = actor.Action[actor.None, actor.None](TaskKind, "complete")
	Remove   = actor.Action[actor.None, actor.None](TaskKind, "remove")
	Files    = actor.Queue[File, Receipt](TaskKind, "files")
)

// What a task has itself run.
var (
	overdue = actor.Action[actor.None, actor.None](TaskKind, "overdue")
	file    = actor.Action[delivery, actor.None](TaskKind, "file")
)

type delivery struct {
	Message int64 `json:"message"`
	File    File  `json:"file"`
}

// Store is where the files go: something outside of the log.
type Store interface {
	// Put keeps a content and returns where. The same content has the same place: putting it twice is putting it once.
	Put(ctx context.Context, content []byte) (ref string, err error)
}

// Register puts the rules of both kinds into a worker's registry.
func Register(r *actor.Registry, store Store) {
	registerProject(r)

	actor.CreateState(r, TaskKind, newTask)
	actor.On(r, Rename, (*Task).rename)
	actor.On(r, SetDue, (*Task).setDue)
	actor.On(r, Complete, (*Task).complete)
	actor.On(r, Remove, func(_ *Task, c *actor.Ctx, _ actor.None) (none actor.None, err error) {
		c.Destroy()
		return none, nil
	})
	actor.On(r, overdue, (*Task).overdue)
	actor.On(r, file, func(s *Task, c *actor.Ctx, d delivery) (actor.None, error) { return actor.None{}, s.file(c, d, store) })

	// Every change that the list shows, and the end, reach the project, whichever action it was.
	actor.OnStateChange(r, TaskKind, func(s *Task, c *actor.Ctx) error {
		report.Send(c, project(c), Entry{Title: s.Title, Due: s.Due, Done: s.Done, Overdue: s.Overdue, Files: len(s.Files)})
		return nil
	})
	actor.OnDestroy(r, TaskKind, func(_ *Task, c *actor.Ctx) error {
		dropped.Send(c, project(c), actor.None{})
		return nil
	})

	actor.Accept(r, Files)
	actor.OnRun(r, TaskKind, takeFiles)
}

func project(c *actor.Ctx) actor.Handle[Project] { return ProjectKind.Get(c.Client(), c.Key()[0]) }

func newTask(c *actor.Ctx, in TaskInput) (Task, error) {
	if by := c.Caller().Actor; by == nil || by.Kind != ProjectKind.Name() || len(c.Key()) != 2 {
		return Task{}, actor.UserError("not_listed", "a task is created by its project: call add")
	}
	s := Task{Files: []Attached{}}
	if _, err := s.rename(c, in.Title); err != nil {
		return s, err
	}
	_, err := s.setDue(c, in.Due)
	return s, err
}

func (s *Task) rename(_ *actor.Ctx, title string) (none actor.None, err error) {
	if title == "" || len(title) > 200 {
		return none, actor.UserError("bad_title", "a title has 1 to 200 bytes").With(map[string]int{"bytes": len(title)})
	}
	s.Title = title
	return none, nil
}

// setDue sets another due date, or none. The schedule has a name of its own, so the new one replaces the old one.
func (s *Task) setDue(c *actor.Ctx, due time.Time) (none actor.None, err error) {
	s.Due, s.Overdue = due.UTC(), false
	if due.IsZero() || s.Done {
		c.Cancel("due")
		return none, nil
	}
	c.At(due, overdue.With(actor.None{}), actor.ScheduleID("due"))
	return none, nil
}

// overdue does not trust who runs it: a client may as well.
func (s *Task) overdue(c *actor.Ctx, _ actor.None) (none actor.None, err error) {
	s.Overdue = !s.Done && !s.Due.IsZero() && !c.Now().Before(s.Due)
	return none, nil
}

func (s *Task) complete(c *actor.Ctx, _ actor.None) (none actor.None, err error) {
	s.Done, s.Overdue = true, false
	c.Cancel("due")
	return none, nil
}

// takeFiles is the loop of a task that is in memory. It touches no state: that is for actions.
func takeFiles(l *actor.Loop) error {
	for {
		m, err := Files.Next(l)
		if err != nil {
			return err
		}
		// A message that was not completed when the worker died is taken again. The key makes both attempts one action.
		self := TaskKind.Self(l).Idempotent(fmt.Sprint("file-", m.ID))
		_, err = file.Call(l, self, delivery{Message: m.ID, File: m.Body})
		var refused *actor.Error
		if errors.As(err, &refused) { // the action had no effect, and would not have one the next time
			err = m.Complete(Receipt{Refused: refused.Code})
		}
		if err != nil {
			return err
		}
	}
}

// file puts a file into the store, notes it and answers its sender, the last two as one.
func (s *Task) file(c *actor.Ctx, d delivery, store Store) error {
	if len(s.Files) >= MaxFiles {
		return actor.UserError("too_many_files", "a task has at most 100 files").With(map[string]int{"max": MaxFiles})
	}
	ref, err := actor.Run(c, "put", func(ctx context.Context) (string, error) { return store.Put(ctx, d.File.Content) },
		actor.Retry{Attempts: 3, Backoff: time.Second})
	if err != nil {
		return err
	}
	s.Files = append(s.Files, Attached{Name: d.File.Name, Ref: ref})
	Files.Complete(c, d.Message, Receipt{Ref: ref})
	return nil
}
