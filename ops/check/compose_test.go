package check

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/require"
)

const root = "../.."

// ours are the programs of the image, by service.
var ours = map[string]string{"gateway": "gateway", "worker-1": "worker", "worker-2": "worker", "projector": "projector"}

// compose loads docker-compose.yml as `docker compose` does: it is checked against the schema of the specification, and interpolated.
func compose(t *testing.T, envFile string) *types.Project {
	t.Helper()
	options := []cli.ProjectOptionsFn{cli.WithWorkingDirectory(root), cli.WithInterpolation(true), cli.WithResolvedPaths(true), cli.WithConsistency(true)}
	if envFile != "" {
		options = append(options, cli.WithEnvFiles(filepath.Join(root, envFile)))
	}
	options = append(options, cli.WithDotEnv)
	o, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, options...)
	require.NoError(t, err)
	if profiles := o.Environment["COMPOSE_PROFILES"]; profiles != "" {
		require.NoError(t, cli.WithProfiles(strings.Split(profiles, ","))(o))
	}
	p, err := o.LoadProject(context.Background())
	require.NoError(t, err)
	return p
}

func TestComposeFollowsTheSpecification(t *testing.T) {
	t.Parallel()
	p := compose(t, "")
	require.ElementsMatch(t, []string{"redpanda", "console", "clickhouse", "gateway", "worker-1", "worker-2", "projector", "prometheus", "grafana"}, p.ServiceNames())
	for name, s := range p.Services {
		require.NotNil(t, s.Deploy, name)
		require.NotNil(t, s.Deploy.Resources.Limits, "%s has no limits", name)
		require.Positive(t, s.Deploy.Resources.Limits.MemoryBytes, name)
		require.False(t, strings.HasSuffix(s.Image, ":latest") || !strings.Contains(s.Image, ":"), "%s: %s is not pinned", name, s.Image)
		for _, port := range s.Ports {
			require.Equal(t, "127.0.0.1", port.HostIP, "%s is published to everybody", name)
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind {
				require.FileExists(t, existing(v.Source), "%s mounts %s", name, v.Source)
				require.True(t, v.ReadOnly, "%s may write to %s", name, v.Source)
			}
		}
		for on, d := range s.DependsOn {
			if d.Condition == types.ServiceConditionHealthy {
				require.NotNil(t, p.Services[on].HealthCheck, "%s waits for the health of %s, which has none", name, on)
			}
		}
	}
	for name, program := range ours {
		s := p.Services[name]
		require.Equal(t, types.ShellCommand{"/" + program}, s.Command)
		require.Equal(t, types.HealthCheckTest{"CMD", "/" + program, "healthcheck"}, s.HealthCheck.Test, "there is no shell in the image")
		require.Equal(t, "65532:65532", s.User)
		require.True(t, s.ReadOnly)
		require.Equal(t, []string{"ALL"}, s.CapDrop)
		require.Contains(t, s.SecurityOpt, "no-new-privileges:true")
		require.NotNil(t, s.StopGracePeriod)
		require.Equal(t, "actorlog:local", s.Image)
	}
	require.NotEqual(t, p.Services["worker-1"].Environment["ACTORLOG_WORKER_ID"], p.Services["worker-2"].Environment["ACTORLOG_WORKER_ID"])
	require.NotEqual(t, p.Services["worker-1"].Volumes[0].Source, p.Services["worker-2"].Volumes[0].Source)
}

// existing is a file, or one that a directory holds.
func existing(path string) string {
	if entries, err := os.ReadDir(path); err == nil && len(entries) > 0 {
		return existing(filepath.Join(path, entries[0].Name()))
	}
	return path
}

func TestThreeBrokers(t *testing.T) {
	t.Parallel()
	p := compose(t, "ops/three.env")
	brokers := []string{"redpanda", "redpanda-1", "redpanda-2"}
	for _, name := range brokers {
		require.Contains(t, p.ServiceNames(), name)
		require.True(t, slices.ContainsFunc(p.Services[name].Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Target == "/etc/redpanda/.bootstrap.yaml"
		}), name)
	}
	for name := range ours {
		env := p.Services[name].Environment
		require.Equal(t, "redpanda:9092,redpanda-1:9092,redpanda-2:9092", *env["ACTORLOG_BROKERS"], name)
		require.Equal(t, "3", *env["ACTORLOG_REPLICATION_FACTOR"], name)
	}
	bootstrap, err := os.ReadFile(filepath.Join(root, "ops/redpanda/bootstrap.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(bootstrap), "write_caching_default: disabled")
}

// The image has what the services run, is built from what is sent to the engine, and its programs are static.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	require.NoError(t, err)
	text := string(b)
	for _, want := range []string{"-o /out/bin/ ./cmd/...", "COPY --from=build /out/bin/ /", "CGO_ENABLED=0", "USER 65532:65532", "AS build", "distroless/static", "app.release=$VERSION"} {
		require.Contains(t, text, want)
	}
	ignored, err := os.ReadFile(filepath.Join(root, ".dockerignore"))
	require.NoError(t, err)
	packages := run(t, root, "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "./cmd/...")
	for _, path := range strings.Fields(packages) {
		if rest, ok := strings.CutPrefix(path, "github.com/actorlog/actorlog/"); ok {
			top, _, _ := strings.Cut(rest, "/")
			require.NotContains(t, strings.Split(string(ignored), "\n"), top, "the programs import %s, which the image is built without", path)
		}
	}
}
