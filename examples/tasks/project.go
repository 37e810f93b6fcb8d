package tasks

import (
	"slices"
	"time"

	"github.com/actorlog/actorlog/actors/actor"
)

// MaxTasks is how many tasks a project may have.
const MaxTasks = 1000

// Project is the coordinator: everything that survives of it.
type Project struct {
	Zone string `json:"zone"`
	// Tasks in the order of their creation.
	Tasks []Entry `json:"tasks"`
}

// Entry is what the project knows of a task: as much as a list shows.
type Entry struct {
	ID      string    `json:"id"`
	Title   string    `json:"title"`
	Due     time.Time `json:"due,omitzero"`
	Done    bool      `json:"done"`
	Overdue bool      `json:"overdue"`
	Files   int       `json:"files"`
}

// ProjectInput of a creation.
type ProjectInput struct {
	// Zone is the IANA time zone of the daily digest. Default UTC.
	Zone string `json:"zone"`
}

// TaskInput of a task.
type TaskInput struct {
	Title string `json:"title"`
	// Due date; none if it is absent.
	Due time.Time `json:"due,omitzero"`
}

// Digest is the state of a project on a morning.
type Digest struct {
	Open    int      `json:"open"`
	Overdue []string `json:"overdue"` // titles
}

// The contract of projects.
var (
	ProjectKind = actor.New[Project]("project")
	Add         = actor.Action[TaskInput, Entry](ProjectKind, "add")
	List        = actor.Action[actor.None, []Entry](ProjectKind, "list")
	Listed      = actor.Event[Entry](ProjectKind, "task")
	Unlisted    = actor.Event[Entry](ProjectKind, "removed")
	Morning     = actor.Event[Digest](ProjectKind, "digest")
)

// What tasks and schedules tell a project.
var (
	report  = actor.Action[Entry, actor.None](ProjectKind, "report")
	dropped = actor.Action[actor.None, actor.None](ProjectKind, "dropped")
	digest  = actor.Action[actor.None, actor.None](ProjectKind, "digest")
)

func registerProject(r *actor.Registry) {
	actor.CreateState(r, ProjectKind, func(c *actor.Ctx, in ProjectInput) (Project, error) {
		if err := actor.ValidateCron(everyMorning, in.Zone); err != nil {
			return Project{}, actor.UserError("bad_zone", err.Error())
		}
		if len(c.Key()) != 1 {
			return Project{}, actor.UserError("bad_key", "a project has a key of one part")
		}
		return Project{Zone: in.Zone, Tasks: []Entry{}}, nil
	})
	actor.OnCreate(r, ProjectKind, func(s *Project, c *actor.Ctx, _ actor.None) error {
		// If all workers are down over a weekend, there is one digest afterwards and not three: FireOnce, the default.
		c.Cron(everyMorning, s.Zone, digest.With(actor.None{}), actor.ScheduleID("digest"))
		return nil
	})
	actor.On(r, Add, (*Project).add)
	actor.On(r, List, func(s *Project, _ *actor.Ctx, _ actor.None) ([]Entry, error) { return s.Tasks, nil })
	actor.On(r, report, (*Project).report)
	actor.On(r, dropped, (*Project).dropped)
	actor.On(r, digest, (*Project).digest)
}

const everyMorning = "0 8 * * *"

func (s *Project) add(c *actor.Ctx, in TaskInput) (Entry, error) {
	if len(s.Tasks) >= MaxTasks {
		return Entry{}, actor.UserError("too_many_tasks", "a project has at most 1000 tasks").With(map[string]int{"max": MaxTasks})
	}
	e := Entry{ID: c.NewID(), Title: in.Title, Due: in.Due.UTC()}
	// If this worker dies now and the action is run again, the id and the call are the same: there is one task. If the
	// action fails after the call, there is a task that is not in the list; its report puts it there.
	if _, err := TaskKind.Create(c, c.Client(), in, c.Key()[0], e.ID); err != nil {
		return Entry{}, err
	}
	s.put(c, e)
	return e, nil
}

func (s *Project) report(c *actor.Ctx, e Entry) (none actor.None, err error) {
	if e.ID, err = s.task(c); err != nil {
		return none, err
	}
	s.put(c, e)
	return none, nil
}

// put lists what is new of a task. Messages of one actor come in order, so none comes after dropped.
func (s *Project) put(c *actor.Ctx, e Entry) {
	i := s.index(e.ID)
	if i < 0 {
		i, s.Tasks = len(s.Tasks), append(s.Tasks, Entry{})
	}
	if s.Tasks[i] != e {
		s.Tasks[i] = e
		c.Broadcast(Listed.With(e))
	}
}

func (s *Project) dropped(c *actor.Ctx, _ actor.None) (none actor.None, err error) {
	id, err := s.task(c)
	if err != nil {
		return none, err
	}
	if i := s.index(id); i >= 0 {
		c.Broadcast(Unlisted.With(s.Tasks[i]))
		s.Tasks = slices.Delete(s.Tasks, i, i+1)
	}
	return none, nil
}

func (s *Project) digest(c *actor.Ctx, _ actor.None) (none actor.None, err error) {
	d := Digest{Overdue: []string{}}
	for _, e := range s.Tasks {
		if !e.Done {
			d.Open++
		}
		if e.Overdue {
			d.Overdue = append(d.Overdue, e.Title)
		}
	}
	c.Broadcast(Morning.With(d)) // a mail would be a recorded step, as in (*Task).file
	return none, nil
}

func (s *Project) index(id string) int {
	return slices.IndexFunc(s.Tasks, func(e Entry) bool { return e.ID == id })
}

// task is the id of the task that sent the message; nobody else may.
func (s *Project) task(c *actor.Ctx) (string, error) {
	by := c.Caller().Actor
	if by == nil || by.Kind != TaskKind.Name() || by.Namespace != c.Namespace() || by.Key[0] != c.Key()[0] {
		return "", actor.ErrForbidden.Messagef("Only tasks of the project may do this.")
	}
	return by.Key[1], nil
}
