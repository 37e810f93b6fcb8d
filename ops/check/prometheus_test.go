package check

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	sigsyaml "sigs.k8s.io/yaml"
)

// rules is ops/prometheus/alerts.yml.
func rules(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "ops/prometheus/alerts.yml"))
	require.NoError(t, err)
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Labels      map[string]string
				Annotations map[string]string
			}
		}
	}
	require.NoError(t, sigsyaml.Unmarshal(b, &file))
	all := make(map[string]string)
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			all[r.Alert] = r.Expr
			require.NotEmpty(t, r.Labels["severity"], r.Alert)
			require.True(t, strings.HasSuffix(r.Annotations["runbook"], "/ops/runbooks/"+r.Alert+".md"), r.Alert)
		}
	}
	require.NotEmpty(t, all)
	return all
}

func TestEveryAlertHasARunbook(t *testing.T) {
	t.Parallel()
	alerts := rules(t)
	pages, err := filepath.Glob(filepath.Join(root, "ops/runbooks/*.md"))
	require.NoError(t, err)
	require.Len(t, pages, len(alerts))
	for _, page := range pages {
		name := strings.TrimSuffix(filepath.Base(page), ".md")
		require.Contains(t, alerts, name, "%s is about no alert", page)
		b, err := os.ReadFile(page)
		require.NoError(t, err)
		text := string(b)
		require.Contains(t, text, strings.TrimSpace(alerts[name]), "%s shows another rule", page)
		require.Contains(t, text, "## Look")
		require.Contains(t, text, "## Do")
		for _, m := range regexp.MustCompile(`\]\((Actorlog\w+)\.md\)`).FindAllStringSubmatch(text, -1) {
			require.Contains(t, alerts, m[1], "%s links to it", page)
		}
	}
}

func TestPromtool(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not on the PATH: apt-get install prometheus")
	}
	dir := filepath.Join(root, "ops/prometheus")
	run(t, dir, promtool, "check", "config", "prometheus.yml")
	run(t, dir, promtool, "check", "rules", "alerts.yml")
	run(t, dir, promtool, "test", "rules", "alerts_test.yml")
	b, err := os.ReadFile(filepath.Join(dir, "alerts_test.yml"))
	require.NoError(t, err)
	for name := range rules(t) {
		require.Contains(t, string(b), "name: "+name+"\n", "no test of promtool lets it fire")
	}
}

// panel is one query of a dashboard.
type panel struct{ dashboard, title, expr string }

func panels(t *testing.T) []panel {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "ops/grafana/dashboards/*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	var all []panel
	ids := make(map[string]bool)
	for _, file := range files {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		var d struct {
			UID    string
			Panels []struct {
				Type, Title string
				Datasource  struct{ UID string }
				GridPos     struct{ X, Y, W, H int }
				Targets     []struct{ Expr string }
			}
		}
		require.NoError(t, json.Unmarshal(b, &d))
		require.NotEmpty(t, d.UID)
		require.False(t, ids[d.UID], "two dashboards are %s", d.UID)
		ids[d.UID] = true
		for i, p := range d.Panels {
			require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, "%s: %s", file, p.Title)
			for _, q := range d.Panels[:i] {
				apart := p.GridPos.X >= q.GridPos.X+q.GridPos.W || q.GridPos.X >= p.GridPos.X+p.GridPos.W ||
					p.GridPos.Y >= q.GridPos.Y+q.GridPos.H || q.GridPos.Y >= p.GridPos.Y+p.GridPos.H
				require.True(t, apart, "%s: %s lies on %s", file, p.Title, q.Title)
			}
			if p.Type == "row" {
				continue
			}
			require.Equal(t, "prometheus", p.Datasource.UID, "that is what is provisioned")
			require.NotEmpty(t, p.Targets, p.Title)
			for _, target := range p.Targets {
				all = append(all, panel{filepath.Base(file), p.Title, target.Expr})
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(root, "ops/grafana/provisioning/datasources/prometheus.yml"))
	require.NoError(t, err)
	require.Contains(t, string(b), "uid: prometheus\n")
	return all
}

func TestDashboardsAreWhole(t *testing.T) {
	t.Parallel()
	require.Greater(t, len(panels(t)), 40)
}
