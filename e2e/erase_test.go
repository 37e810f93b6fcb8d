package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/actorlog/actorlog/e2e/process"
)

// filesWith are the files below directories that have a text.
func filesWith(t *testing.T, text string, dirs ...string) (found []string) {
	t.Helper()
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil //nolint:nilerr // gone meanwhile
			}
			if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(text)) {
				found = append(found, path)
			}
			return nil
		})
	}
	return found
}

// Somebody writes into a room whose kind is sealed, while a second worker follows as a standby. After the room is erased, no file of brokers, workers and ClickHouse has what was written,
// and no answer does; what happened, and other rooms, are as they were.
func TestErase(t *testing.T) {
	t.Parallel()
	const room = "room-to-be-erased"
	secret := "secret-" + rand.Text()
	dir := t.TempDir()
	data, second, key := filepath.Join(dir, "dev"), filepath.Join(dir, "second"), filepath.Join(dir, "master.key")
	master := make([]byte, 32)
	_, _ = rand.Read(master)
	require.NoError(t, os.WriteFile(key, []byte(base64.StdEncoding.EncodeToString(master)+"\n"), 0o600))
	var tables []string
	query := func(string) string { return "" }
	if os.Getenv("ACTORLOG_TEST_CLICKHOUSE") != "" {
		tables, query = clickhouse(t)
	}
	kafka, listen := process.Address(t), process.Address(t)
	sealing := []string{"--partitions", "4", "--seal-kinds", "chatRoom", "--seal-key-file", key, "--session-timeout", "6s"}
	working := []string{"--sleep-after", "200ms", "--checkpoint-every", "500ms", "--standby"}
	dev := process.Start(t, "actorlog", slices.Concat([]string{"dev", "--data", data, "--kafka-listen", kafka, "--listen", listen, "--batch-delay", "50ms"}, sealing, working, tables)...)
	process.Ready(t, listen, dev)
	brokers := slices.Concat([]string{"--brokers", kafka}, sealing)
	process.Start(t, "worker", slices.Concat(brokers, working, []string{"--data", second})...)
	ask := func(method, path, body string) string {
		t.Helper()
		status, answer, err := process.Request(t.Context(), method, "http://"+listen+path, body, "")
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, answer)
		return answer
	}
	say := func(room, text string) { ask("POST", "/actors/chatRoom/"+room+"/actions/say", `["Ann", "`+text+`"]`) }
	exported := func() string {
		r, err := zstd.NewReader(strings.NewReader(ask("GET", "/admin/export/chatRoom/"+room, "")))
		require.NoError(t, err)
		defer r.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(r)
		require.NoError(t, err)
		return b.String()
	}
	answers := func() string { // all that can be asked of the room
		return ask("GET", "/admin/history/chatRoom/"+room, "") + ask("GET", "/admin/audit/events?kind=chatRoom&key="+room, "") + ask("GET", "/admin/audit/changes?kind=chatRoom&key="+room, "") +
			ask("GET", "/admin/audit/actors?kind=chatRoom", "") + exported()
	}
	for range 5 {
		say(room, secret)
		say("other", "hello")
	}
	if tables != nil {
		require.Eventually(t, func() bool {
			return query("SELECT toString(count()) FROM system.tables WHERE database = replaceAll('db.', '.', '') AND name IN ('events', 'actors')") == "2"
		}, time.Minute, 100*time.Millisecond)
		require.Eventually(t, func() bool {
			return query("SELECT toString(countIf(position(args, '"+secret+"') > 0)) FROM db.events") == "5" && strings.Contains(query("SELECT max(state) FROM db.actors WHERE key = ['"+room+"']"), secret)
		}, time.Minute, 100*time.Millisecond)
	}
	var paths []string // of ClickHouse on its disk, if that is this machine's
	if tables != nil {
		require.NoError(t, json.Unmarshal([]byte(query("SELECT toJSONString(arrayFlatten(groupArray(data_paths))) FROM system.tables WHERE database = replaceAll('db.', '.', '') AND name LIKE '%_1'")), &paths))
		require.NotEmpty(t, paths)
		if _, err := os.Stat(paths[0]); err == nil {
			require.NotEmpty(t, filesWith(t, secret, paths...))
		}
	}
	require.Contains(t, answers(), secret)
	require.Contains(t, ask("GET", "/admin/state/chatRoom/"+room, ""), secret)
	require.Contains(t, exported(), secret)
	stores := []string{"--store", filepath.Join(data, "worker"), "--store", second}
	erase := func(flags ...string) (string, int) {
		return cli(t, slices.Concat([]string{"erase", "chatRoom", room}, brokers, tables, flags)...)
	}
	require.Eventually(t, func() bool { // checkpoints, and the standby's store is there
		out, code := erase(slices.Concat(stores, []string{"--canary", secret})...)
		return code == 0 && strings.Contains(out, "Nothing was erased")
	}, time.Minute, 500*time.Millisecond)
	require.Empty(t, filesWith(t, secret, data, second), "sealed as long as it lives")

	out, code := erase(slices.Concat(stores, []string{"--yes", "--canary", secret, "--wait", "2m"})...)
	require.Zero(t, code, out)
	require.Contains(t, out, "Nothing of the actor's contents can be read any more")
	require.Contains(t, out, "1 keys were destroyed")

	said := answers()
	require.NotContains(t, said, secret)
	require.Contains(t, said, "$Erased")
	require.Contains(t, said, `"say"`, "that something was said is known")
	status, answer, err := process.Request(t.Context(), "GET", "http://"+listen+"/admin/state/chatRoom/"+room, "", "")
	require.NoError(t, err)
	require.NotContains(t, answer, secret, status)
	require.Empty(t, filesWith(t, secret, data, second))
	if tables != nil {
		require.Equal(t, "0", query("SELECT toString(count()) FROM db.events_1 WHERE position(concat(args, result, state, patch, toString(`broadcasts.args`)), '"+secret+"') > 0"))
		require.Equal(t, "0", query("SELECT toString(count()) FROM db.actors_1 WHERE position(concat(state, rest), '"+secret+"') > 0"))
		require.Equal(t, "5", query("SELECT toString(count()) FROM db.events WHERE key = ['"+room+"'] AND action = 'say' AND args = '[\"$Erased\"]'"))
		// On its disk, when replaced parts are deleted.
		require.Eventually(t, func() bool { return len(filesWith(t, secret, paths...)) == 0 }, 10*time.Minute, 500*time.Millisecond)
	}
	require.Contains(t, ask("GET", "/admin/state/chatRoom/other", ""), "hello")

	// The command and the gateway report the same; then somebody uses the key for another life.
	var ofCommand, ofGateway map[string]any
	require.Eventually(t, func() bool {
		out, code := erase("--json", "--store", filepath.Join(data, "worker"))
		require.Zero(t, code, out)
		require.NoError(t, json.Unmarshal([]byte(out), &ofCommand), out)
		require.NoError(t, json.Unmarshal([]byte(ask("GET", "/admin/erase/chatRoom/"+room, "")), &ofGateway))
		a, _ := json.Marshal(ofCommand)
		b, _ := json.Marshal(ofGateway)
		return bytes.Equal(a, b)
	}, time.Minute, 500*time.Millisecond, "%v %v", ofCommand, ofGateway)
	say(room, "another life")
	require.Contains(t, ask("GET", "/admin/state/chatRoom/"+room, ""), "another life")
	require.NotContains(t, answers(), secret)

	// A backup has who lives, and restored it is as erased.
	must := func(args ...string) string {
		out, code := cli(t, args...)
		require.Zero(t, code, "%v: %s", args, out)
		return out
	}
	copied := filepath.Join(dir, "backup")
	must(slices.Concat([]string{"backup", "--dir", copied}, brokers)...)
	must(slices.Concat([]string{"restore", "--dir", copied, "--prefix", "restored"}, brokers)...)
	restored := slices.Concat(brokers, []string{"--prefix", "restored"})
	require.Contains(t, must(slices.Concat([]string{"state", "chatRoom", "other"}, restored)...), "hello")
	history := must(slices.Concat([]string{"history", "chatRoom", room}, restored)...)
	require.Contains(t, history, "another life")
	require.Contains(t, history, "$Erased")
	require.NotContains(t, history, secret)
}
