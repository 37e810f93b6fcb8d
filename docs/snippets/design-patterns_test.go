package snippets_test

import (
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/actorlog/actorlog/actors/actor"
	"github.com/actorlog/actorlog/actors/actortest"
)

// snippet: coordinator

// Lobby knows which games there are. It does not know what happens in them.
type Lobby struct {
	Games []string `json:"games"`
}

type Game struct {
	Moves int `json:"moves"`
}

var (
	lobbies  = actor.New[Lobby]("lobby")
	openGame = actor.Action[actor.None, string](lobbies, "openGame")
	gameOver = actor.Action[string, actor.None](lobbies, "gameOver")

	games  = actor.New[Game]("game")
	finish = actor.Action[actor.None, actor.None](games, "finish")
)

func (s *Lobby) openGame(c *actor.Ctx, _ actor.None) (string, error) {
	id := c.NewID()
	if _, err := games.Create(c, c.Client(), nil, id); err != nil {
		return "", err
	}
	s.Games = append(s.Games, id)
	return id, nil // the client talks to the game from now on
}

func (s *Game) finish(c *actor.Ctx, _ actor.None) (n actor.None, err error) {
	gameOver.Send(c, lobbies.Get(c.Client(), "eu"), c.Key()[0])
	c.Destroy()
	return n, nil
}

// end snippet

func registerLobby(r *actor.Registry) {
	actor.On(r, openGame, (*Lobby).openGame)
	actor.On(r, gameOver, func(s *Lobby, _ *actor.Ctx, id string) (n actor.None, err error) {
		s.Games = slices.DeleteFunc(s.Games, func(other string) bool { return other == id })
		return n, nil
	})
	actor.On(r, finish, (*Game).finish)
}

func TestLobby(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, registerLobby)
		lobby := lobbies.GetOrCreate(w.Client, "eu")
		first, err := openGame.Call(ctx, lobby, actor.None{})
		require.NoError(t, err)
		second, err := openGame.Call(ctx, lobby, actor.None{})
		require.NoError(t, err)
		_, err = finish.Call(ctx, games.Get(w.Client, first), actor.None{})
		require.NoError(t, err)
		synctest.Wait()
		s, err := lobby.Read(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{second}, s.Games)
	})
}

// snippet: sharding

// Views counts the views of many pages. One actor per page would do; one actor for all would be a bottleneck.
type Views struct {
	ByPage map[string]int `json:"byPage"`
}

var (
	views = actor.New[Views]("views")
	view  = actor.Action[string, actor.None](views, "view")
	total = actor.Action[actor.None, int](views, "total")
)

const viewShards = 16 // part of every key: to change it is to count anew

func viewsOf(client actor.Caller, page string) actor.Handle[Views] {
	h := fnv.New32a()
	_, _ = h.Write([]byte(page))
	return views.GetOrCreate(client, fmt.Sprint(h.Sum32()%viewShards))
}

// end snippet

type Report struct {
	Total int `json:"total"`
}

var (
	reports = actor.New[Report]("report")
	refresh = actor.Action[actor.None, int](reports, "refresh")
)

// snippet: fan-out

// refresh asks all shards at once. Each is another actor: calls to one and the same actor are made one after the other.
func (s *Report) refresh(c *actor.Ctx, _ actor.None) (int, error) {
	var asked errgroup.Group
	counts := make([]int, viewShards)
	for i := range counts {
		asked.Go(func() (err error) {
			counts[i], err = total.Call(c, views.Get(c.Client(), fmt.Sprint(i)), actor.None{})
			if errors.Is(err, actor.ErrNotFound) {
				return nil // nobody has looked at its pages
			}
			return err
		})
	}
	if err := asked.Wait(); err != nil {
		return 0, err
	}
	s.Total = 0
	for _, n := range counts {
		s.Total += n
	}
	return s.Total, nil
}

// end snippet

func TestViews(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		w := actortest.New(t, func(r *actor.Registry) {
			actor.InitialState(r, views, Views{ByPage: map[string]int{}})
			actor.On(r, view, func(s *Views, _ *actor.Ctx, page string) (n actor.None, err error) {
				s.ByPage[page]++
				return n, nil
			})
			actor.On(r, total, func(s *Views, _ *actor.Ctx, _ actor.None) (n int, err error) {
				for _, views := range s.ByPage {
					n += views
				}
				return n, nil
			})
			actor.On(r, refresh, (*Report).refresh)
		})
		for i := range 50 {
			page := fmt.Sprint("/", i%7)
			_, err := view.Call(ctx, viewsOf(w.Client, page), page)
			require.NoError(t, err)
		}
		n, err := refresh.Call(ctx, reports.GetOrCreate(w.Client), actor.None{})
		require.NoError(t, err)
		require.Equal(t, 50, n)
	})
}
