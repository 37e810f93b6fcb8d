package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// TestHistoryCommands looks at actors with the commands that a user has, and does with their histories what these can: follow, go back, copy, compare, carry to
// another log, undo.
func TestHistoryCommands(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		b, _ := process.EmbeddedBroker(t)
		tellHistory(t, b)
	})
	t.Run("kafka", func(t *testing.T) {
		t.Parallel()
		tellHistory(t, process.ApacheKafka(t, "classic"))
	})
}

// teller runs the commands against one log.
type teller struct {
	*testing.T
	brokers process.Brokers
	gateway string
}

// run returns what a command prints, and its exit status. Flags go before its arguments, which may look like flags.
func (h teller) run(command string, args ...string) (out, failed string, code int) {
	h.Helper()
	cmd := exec.CommandContext(h.Context(), process.Path(h.T, "actorlog"), slices.Concat([]string{command}, h.brokers, args)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if cmd.ProcessState == nil {
		require.NoError(h, err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

func (h teller) must(command string, args ...string) string {
	h.Helper()
	out, failed, code := h.run(command, args...)
	require.Zero(h, code, "%s %q: %s", command, args, failed)
	return out
}

// refused is a command that fails, and prints why to stderr alone.
func (h teller) refused(want string, command string, args ...string) {
	h.Helper()
	out, failed, code := h.run(command, args...)
	require.NotZero(h, code, "%s %q: %s", command, args, out)
	require.Contains(h, failed, want, "%s %q", command, args)
	require.Empty(h, out, "%s %q", command, args)
	require.Less(h, strings.Count(failed, "\n"), 6, failed)
}

func (h teller) post(path, body string) string {
	h.Helper()
	status, answer, err := process.Request(h.Context(), http.MethodPost, "http://"+h.gateway+"/actors/"+path, body, "")
	require.NoError(h, err)
	require.Less(h, status, 300, answer)
	return answer
}

// event is a line of a history, as programs read it.
type event struct {
	Position, Type, Action, Version, Lifecycle, RequestID string
	Number, DurationUs                                    int64
	Time                                                  time.Time
	Input, Result, State, Patch, Body                     json.RawMessage
	Caller                                                struct{ Gateway, Principal string }
	Error                                                 *struct{ Group, Code, Detail string }
	Broadcasts, Scheduled                                 []json.RawMessage
}

func (h teller) events(args ...string) (all []event) {
	h.Helper()
	for line := range strings.Lines(h.must("history", append([]string{"--json"}, args...)...)) {
		var e event
		require.NoError(h, json.Unmarshal([]byte(line), &e), line)
		all = append(all, e)
	}
	return all
}

func results(all []event) string {
	var texts []string
	for _, e := range all {
		texts = append(texts, string(e.Result))
	}
	return strings.Join(texts, " ")
}

func tellHistory(t *testing.T, b process.Brokers) {
	t.Helper()
	h := teller{t, b, process.Address(t)}
	b.Worker(t)
	b.Gateway(t, h.gateway)
	before := time.Now()

	// A key of which each part is a trap, in a namespace of its own.
	key := []string{"--namespace=other", "--", "counter", "-x", "", "a/b", "\u2603", "a\nb"}
	const path = "counter/-x//a%2Fb/%E2%98%83/a%0Ab/actions/"
	for n := range 4 {
		h.post(path+"increment?namespace=other", fmt.Sprint(n+1))
	}
	h.post("counter/other/actions/increment", "1")

	all := h.events(key...)
	require.Equal(t, "1 3 6 10", results(all))
	for i, e := range all {
		require.EqualValues(t, i+1, e.Number)
		require.Equal(t, "invoke increment", e.Type+" "+e.Action)
		require.JSONEq(t, fmt.Sprint(i+1), string(e.Input))
		require.Len(t, e.Broadcasts, 1)
		require.NotEmpty(t, e.Version)
		require.NotEmpty(t, e.RequestID)
		require.NotEmpty(t, e.Caller.Gateway)
		require.Positive(t, e.DurationUs)
		require.WithinRange(t, e.Time, before.Add(-time.Second), time.Now().Add(time.Second))
	}
	require.JSONEq(t, `{"count":1}`, string(all[0].State))
	require.JSONEq(t, `[{"op":"replace","path":"/count","value":10}]`, string(all[3].Patch))
	require.Contains(t, h.must("history", key...), "increment(4) = 10\n")

	// Parts of it.
	since := func(point string) string { return results(h.events(append([]string{"--since", point}, key...)...)) }
	require.Equal(t, "6 10", results(h.events(append([]string{"--limit", "2"}, key...)...)))
	require.Equal(t, "3 6 10", results(h.events(append([]string{"--grep", `"result":(3|6|10)\b`}, key...)...)))
	require.Equal(t, "6 10", since(all[2].Position))
	require.Equal(t, "3 6 10", since("2"))
	require.Equal(t, "10", since("-1"))
	require.Equal(t, "1 3 6 10", since("1h"))
	require.Equal(t, "1 3 6 10", since(before.UTC().Format(time.DateOnly)))
	require.Equal(t, results(all[3:]), results(slices.DeleteFunc(h.events(append([]string{"--since", all[3].Time.Format(time.RFC3339Nano)}, key...)...), func(e event) bool { return e.Number < 4 })))
	require.Empty(t, since("2200-01-01"))
	require.Empty(t, since("now"))
	require.Equal(t, "1 3 6 10", since("2d"))

	// What it was.
	state := func(args ...string) string { return strings.Join(strings.Fields(h.must("state", args...)), "") }
	require.Equal(t, `{"count":10}`, state(key...))
	require.Equal(t, `{"count":3}`, state(append([]string{"--at", "2"}, key...)...))
	require.Equal(t, `{"count":6}`, state(append([]string{"--at", "-2"}, key...)...))
	require.Equal(t, `{"count":6}`, state(append([]string{"--at", all[2].Position}, key...)...))
	require.Equal(t, `null`, state(append([]string{"--at", "1h"}, key...)...))
	require.Contains(t, h.must("state", append([]string{"--all"}, key...)...), `"alive": true`)
	require.Equal(t, "~ /count: 6 -> 10\n", h.must("diff", key...))
	require.Equal(t, "~ /count: 1 -> 6\n", h.must("diff", append([]string{"--from", "1", "--to", "3"}, key...)...))
	require.JSONEq(t, `[{"op":"replace","path":"/count","value":1}]`, h.must("diff", append([]string{"--patch", "--from", "3", "--to", "1"}, key...)...))

	// It goes on while it is followed, from what there was. A pipe that is closed ends the command.
	follow := process.Start(t, "actorlog", slices.Concat([]string{"history", "--follow", "--limit", "1", "--grep", "increment", "--json"}, b, key)...)
	require.Eventually(t, func() bool { return strings.Contains(follow.Output(), `"result":10`) }, time.Minute, 20*time.Millisecond)
	h.post(path+"get?namespace=other", "")
	h.post(path+"increment?namespace=other", "5")
	require.Eventually(t, func() bool { return strings.Contains(follow.Output(), `"result":15`) }, time.Minute, 20*time.Millisecond)
	require.NotContains(t, follow.Output(), `"get"`)
	follow.Signal(t, syscall.SIGINT)
	require.Zero(t, follow.Wait(t))
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	cut := exec.CommandContext(t.Context(), process.Path(t, "actorlog"), slices.Concat([]string{"history", "--follow"}, b, key)...)
	cut.Stdout = writer
	require.NoError(t, cut.Start())
	require.NoError(t, writer.Close())
	_, err = reader.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, reader.Close())
	h.post(path+"increment?namespace=other", "1")
	require.Error(t, cut.Wait(), "it was killed by the closed pipe, and did not follow for ever")

	h.wrong(all[0].Position)
	h.full()
	h.causes()
	h.forks()
	h.files()
	h.undoes()
}

// wrong is questions without an answer.
func (h teller) wrong(position string) {
	h.Helper()
	for _, command := range []string{"history", "state", "diff", "step", "undo"} {
		h.refused("nothing is known of", command, "counter", "nobody")
	}
	h.refused("nothing is known of", "history", "counter", "nobody", "--since", "1h")
	h.refused("nothing is known of", "fork", "counter", "nobody", "--to", "x")
	h.refused("nothing is known of", "export", "counter", "nobody", "-o", filepath.Join(h.TempDir(), "x"))
	h.refused("nothing is known of", "diff", "counter", "other", "--with", "nobody")
	h.refused("nothing is known of", "diff", "counter", "nobody", "--with", "other")
	h.refused("say which actor", "history")
	h.refused("there is no event 99, the actor has 1", "state", "counter", "other", "--at", "99")
	h.refused("the actor has 1 events", "state", "counter", "other", "--at", "-99")
	h.refused("numbered from 1", "state", "counter", "other", "--at", "0")
	h.refused("want a position such as", "state", "counter", "other", "--at", "yesterday")
	h.refused("want a point in history", "state", "counter", "other", "--at", "--all")
	h.refused("and the actor is in shard", "state", "counter", "other", "--at", "99:1")
	h.refused("--grep", "history", "counter", "other", "--grep", "(")
	h.refused("--limit", "history", "counter", "other", "--limit=-1")
	h.refused("no event at 99:0", "why", "99:0")
	h.refused("no event at 0:999999", "why", "0:999999")
	h.refused("nobody-asked", "why", "nobody-asked")
	h.refused("unknown flag --loud", "history", "counter", "other", "--loud")
	out, failed, code := h.run("why", position, "--file", os.Args[0])
	require.Equal(h, 1, code, out)
	require.Contains(h, failed, "is damaged")
	h.refused("does not exist, and this program makes none", "history", "counter", "other", "--prefix", "mistyped")
	require.NotContains(h, h.must("topics", "list", "--prefix", "mistyped"), "32", "reading has made nothing")
	teller{h.T, process.Brokers{"--brokers", "127.0.0.1:1"}, ""}.refused("no broker of 127.0.0.1:1 answers", "history", "counter", "other")
}

// causes follows a message to another shard, an error, and a client's connection.
func (h teller) causes() {
	h.Helper()
	h.post("account/ann/actions/deposit", "100")
	h.post("account/bob/actions/deposit", "100")
	h.post("account/ann/actions/transfer", `{"to":"bob","cents":30,"note":"rent"}`)
	var settled event
	require.Eventually(h, func() bool {
		all := h.events("--grep", `"action":"settle"`, "account", "ann")
		if len(all) == 1 {
			settled = all[0]
		}
		return settled.Position != ""
	}, time.Minute, 100*time.Millisecond)
	var how []string
	for line := range strings.Lines(h.must("why", settled.Position)) {
		if strings.HasPrefix(line, "<-") {
			how = append(how, strings.Join(strings.Fields(line)[:5], " "))
		}
	}
	require.Len(h, how, 3, "%q", how)
	require.Equal(h, []string{"<- sent by account bob", "<- sent by account ann"}, how[:2])
	require.Contains(h, how[2], "<- asked by anonymous")
	var x struct {
		Entry   event
		Causes  []struct{ How string }
		Effects []struct{ How string }
	}
	require.NoError(h, json.Unmarshal([]byte(h.must("why", settled.Position, "--json")), &x))
	require.Equal(h, settled.Position, x.Entry.Position)
	require.Len(h, x.Causes, 2)
	require.Equal(h, strings.SplitN(h.must("why", settled.RequestID), "\n", 2)[0], strings.SplitN(h.must("why", settled.Position), "\n", 2)[0])

	conn, resp, err := websocket.DefaultDialer.DialContext(h.Context(), "ws://"+h.gateway+"/actors/lobby/eu/events?event=shouted&params=%7B%22name%22%3A%22ann%22%7D", nil)
	require.NoError(h, err)
	defer resp.Body.Close()
	defer conn.Close()
	require.Eventually(h, func() bool { // it listens from when there is somebody to listen to
		_, _, code := h.run("state", "lobby", "eu")
		if code != 0 {
			status, _, _ := process.Request(h.Context(), http.MethodPut, "http://"+h.gateway+"/actors/lobby/eu", "", "")
			return status == http.StatusOK
		}
		return true
	}, time.Minute, 100*time.Millisecond)
	status, answer, err := process.Request(h.Context(), http.MethodPost, "http://"+h.gateway+"/actors/lobby/eu/actions/crash", "", "")
	require.NoError(h, err)
	require.Equal(h, http.StatusInternalServerError, status)
	require.NotContains(h, answer, "on fire")
	crashed := h.events("--grep", `"crash"`, "lobby", "eu")
	require.Len(h, crashed, 1)
	require.Contains(h, crashed[0].Error.Detail, "on fire", "operators see what clients do not")
	require.Contains(h, h.must("history", "lobby", "eu"), "detail    the lobby is on fire")
}

// forks copies actors, tries what the original has not done, and compares.
func (h teller) forks() {
	h.Helper()
	for n := range 3 {
		h.post("counter/org/42/actions/increment", fmt.Sprint(n+1))
	}
	original := h.must("history", "counter", "org", "42")
	out := h.must("fork", "counter", "org", "42", "--at", "2", "--to", "org", "--to=-copy", "--reason", "what if", "--by", "eve")
	require.Contains(h, out, "is what the original was after")
	require.Equal(h, "nothing changed\n", h.must("diff", "counter", "org", "42", "--from", "2", "--with", "org", "--with=-copy"), "as it was then")
	require.Equal(h, "~ /count: 6 -> 3\n", h.must("diff", "counter", "org", "42", "--with", "org", "--with=-copy"), "as it is now")
	h.post("counter/org/-copy/actions/increment", "100")
	require.Equal(h, "~ /count: 6 -> 103\n", h.must("diff", "counter", "org", "42", "--with", "org", "--with=-copy"))
	require.Equal(h, "~ /count: 1 -> 3\n", h.must("diff", "counter", "org", "42", "--from", "1", "--with", "org", "--with=-copy", "--to", "1"))
	require.JSONEq(h, `[{"op":"replace","path":"/count","value":103}]`, h.must("diff", "--patch", "counter", "org", "42", "--with", strings.Fields(out)[1]), "by its id")
	require.Equal(h, original, h.must("history", "counter", "org", "42"), "the original has not noticed")
	copied := h.events("--", "counter", "org", "-copy")
	require.Equal(h, "restore", copied[0].Type)
	require.Equal(h, "eve", copied[0].Caller.Principal)
	require.Contains(h, string(copied[0].Body), "what if")
	h.refused("already in use", "fork", "counter", "org", "42", "--to", "org", "--to=-copy")
	h.must("fork", "counter", "org", "42", "--to", "elsewhere", "--to-namespace", "other")
	require.Equal(h, "nothing changed\n", h.must("diff", "counter", "org", "42", "--with", "elsewhere", "--with-namespace", "other"))

	// Schedules stay behind, unless one asks for them.
	h.post("metronome/slow/actions/start", "[3600000, 5]")
	h.must("fork", "metronome", "slow", "--to", "quiet")
	h.must("fork", "metronome", "slow", "--to", "ticking", "--schedules")
	require.NotContains(h, h.must("state", "--all", "metronome", "quiet"), "schedules")
	require.Contains(h, h.must("state", "--all", "metronome", "ticking"), `"everyMs": 3600000`)
	require.Contains(h, h.must("diff", "metronome", "slow", "--with", "quiet"), "- schedules/beat: ")
}

// files takes a history to whoever has no broker, and an actor to another log.
func (h teller) files() {
	h.Helper()
	path := filepath.Join(h.TempDir(), "ann.history")
	require.Contains(h, h.must("export", "account", "ann", "-o", path), "events of account ann")
	h.refused("is there already", "export", "account", "ann", "-o", path)
	alone := teller{h.T, process.Brokers{"--brokers", "127.0.0.1:1", "--file", path}, ""}
	require.Equal(h, h.must("history", "account", "ann"), alone.must("history"))
	require.Equal(h, h.must("state", "account", "ann"), alone.must("state", "account", "ann"))
	require.Equal(h, h.must("state", "--at", "1", "account", "ann"), alone.must("state", "--at", "1"))
	require.Equal(h, h.must("diff", "--from", "1", "account", "ann"), alone.must("diff", "--from", "1"))
	require.Contains(h, alone.must("verify"), "the same, 0 different")
	alone.refused("has the history of another actor", "state", "account", "bob")
	alone.refused("nothing is added to a file", "history", "--follow")
	alone.refused("a file has one actor alone", "diff", "--with", "bob")
	settled := alone.events("--grep", `"action":"settle"`)
	require.Contains(h, alone.must("why", settled[0].Position), "<- sent by  account bob  (not in the file)")

	data, err := os.ReadFile(path)
	require.NoError(h, err)
	damaged := filepath.Join(h.TempDir(), "half")
	require.NoError(h, os.WriteFile(damaged, data[:len(data)/2], 0o600))
	h.refused("is damaged", "import", damaged, "--to", "x")

	elsewhere, _ := process.EmbeddedBroker(h.T)
	there := teller{h.T, elsewhere, process.Address(h.T)}
	elsewhere.Worker(h.T)
	elsewhere.Gateway(h.T, there.gateway)
	there.must("import", path, "--to", "ann", "--to", "imported", "--reason", "a bug report")
	there.must("import", path, "--to", "then", "--at", "1")
	require.Equal(h, h.must("state", "account", "ann"), there.must("state", "account", "ann", "imported"))
	require.Equal(h, h.must("state", "--at", "1", "account", "ann"), there.must("state", "account", "then"))
	there.post("account/ann/imported/actions/deposit", "5")
	require.Contains(h, there.must("diff", "account", "then", "--with", "ann", "--with", "imported"), "~ /cents: 100 -> 75\n")
	imported := there.events("account", "ann", "imported")
	require.Contains(h, string(imported[0].Body), `"log":`)
}

// undoes takes back what was done, the end of a life too. History only grows.
func (h teller) undoes() {
	h.Helper()
	count := func() string {
		status, body, err := process.Request(h.Context(), http.MethodGet, "http://"+h.gateway+"/actors/counter/oops/state", "", "")
		require.NoError(h, err)
		require.Equal(h, http.StatusOK, status, body)
		return body
	}
	for n := range 3 {
		h.post("counter/oops/actions/increment", fmt.Sprint(n+1))
	}
	grown := func(do func() string) string {
		was := h.must("history", "counter", "oops")
		out := do()
		is := h.must("history", "counter", "oops")
		require.True(h, strings.HasPrefix(is, was), "history was rewritten")
		require.Greater(h, len(is), len(was))
		return out
	}
	out := grown(func() string { return h.must("undo", "counter", "oops", "--reason", "fat finger", "--by", "eve") })
	require.Contains(h, out, "increment(3) = 6")
	require.Contains(h, out, "~ /count: 6 -> 3\n")
	require.JSONEq(h, `{"count":3}`, count())
	last := h.events("--limit", "2", "counter", "oops")[0]
	require.Equal(h, "restore eve", last.Type+" "+last.Caller.Principal)
	require.Contains(h, string(last.Body), "fat finger")

	grown(func() string { return h.must("undo", "counter", "oops") })
	require.JSONEq(h, `{"count":6}`, count(), "an undo can be undone")
	grown(func() string { return h.must("undo", "counter", "oops", "--to", "1") })
	require.JSONEq(h, `{"count":1}`, count())

	status, body, err := process.Request(h.Context(), http.MethodDelete, "http://"+h.gateway+"/actors/counter/oops", "", "")
	require.NoError(h, err)
	require.Equal(h, http.StatusNoContent, status, body)
	require.Equal(h, "null\n", h.must("state", "counter", "oops"))
	out = grown(func() string { return h.must("undo", "counter", "oops") })
	require.Contains(h, out, `~ life: {"alive":false,"generation":1} -> {"alive":true,"generation":2}`)
	require.JSONEq(h, `{"count":1}`, count())
	h.post("counter/oops/actions/increment", "1")
	require.JSONEq(h, `{"count":2}`, count())
	h.refused("there is nothing to restore", "undo", "counter", "oops", "--to", "-1")
	require.Contains(h, h.must("verify", "counter", "oops"), "0 different")
}

// What cannot be printed is an error, and not an answer that looks whole.
func (h teller) full() {
	h.Helper()
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		return // there is none on this system
	}
	defer full.Close()
	for _, args := range [][]string{{"history"}, {"history", "--json"}, {"state"}, {"diff"}} {
		cmd := exec.CommandContext(h.Context(), process.Path(h.T, "actorlog"), slices.Concat(args, h.brokers, []string{"counter", "other"})...)
		cmd.Stdout = full
		require.Error(h, cmd.Run(), "%q", args)
	}
}
