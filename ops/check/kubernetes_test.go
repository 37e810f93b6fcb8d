package check

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	sigsyaml "sigs.k8s.io/yaml"
)

// manifests is what `kubectl apply -k` sends, decoded strictly: a field that Kubernetes does not know fails.
func manifests(t *testing.T) map[string]any {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "ops/kubernetes"))
	require.NoError(t, err)
	text, err := built.AsYaml()
	require.NoError(t, err)
	all := make(map[string]any)
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	for {
		doc, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		var meta struct {
			Kind     string
			Metadata struct{ Name, Namespace string }
		}
		require.NoError(t, sigsyaml.Unmarshal(doc, &meta))
		var into any
		switch meta.Kind {
		case "Deployment":
			into = new(appsv1.Deployment)
		case "StatefulSet":
			into = new(appsv1.StatefulSet)
		case "Service":
			into = new(corev1.Service)
		case "ConfigMap":
			into = new(corev1.ConfigMap)
		case "Namespace":
			into = new(corev1.Namespace)
		case "PodDisruptionBudget":
			into = new(policyv1.PodDisruptionBudget)
		case "NetworkPolicy":
			into = new(networkingv1.NetworkPolicy)
		default:
			t.Fatalf("nothing checks a %s", meta.Kind)
		}
		require.NoError(t, sigsyaml.UnmarshalStrict(doc, into), "%s %s", meta.Kind, meta.Metadata.Name)
		if meta.Kind != "Namespace" {
			require.Equal(t, "actorlog", meta.Metadata.Namespace)
		}
		all[meta.Kind+"/"+meta.Metadata.Name] = into
	}
}

func TestKubernetes(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	pods := map[string]corev1.PodTemplateSpec{
		"gateway":   all["Deployment/gateway"].(*appsv1.Deployment).Spec.Template,
		"worker":    all["StatefulSet/worker"].(*appsv1.StatefulSet).Spec.Template,
		"projector": all["Deployment/projector"].(*appsv1.Deployment).Spec.Template,
	}
	common := all["ConfigMap/actorlog"].(*corev1.ConfigMap).Data
	for program, pod := range pods {
		require.True(t, *pod.Spec.SecurityContext.RunAsNonRoot, program)
		require.Greater(t, *pod.Spec.TerminationGracePeriodSeconds, int64(20), program)
		require.Len(t, pod.Spec.Containers, 1)
		c := pod.Spec.Containers[0]
		require.Equal(t, []string{"/" + program}, c.Command)
		require.NotContains(t, c.Image, "latest")
		require.Contains(t, c.Image, "actorlog/actorlog:v")
		require.True(t, *c.SecurityContext.ReadOnlyRootFilesystem)
		require.False(t, *c.SecurityContext.AllowPrivilegeEscalation)
		require.Equal(t, "/readyz", c.ReadinessProbe.HTTPGet.Path)
		require.Equal(t, "/healthz", c.LivenessProbe.HTTPGet.Path)
		ports := make(map[string]int32)
		for _, p := range c.Ports {
			ports[p.Name] = p.ContainerPort
		}
		require.Contains(t, ports, c.ReadinessProbe.HTTPGet.Port.StrVal)
		require.True(t, strings.HasSuffix(common["ACTORLOG_OPS_LISTEN"], ":9464"))
		require.Equal(t, int32(9464), ports["ops"])
		if _, err := os.Stat(filepath.Join(root, "cmd", program)); err != nil {
			continue
		}
		known := flagsOf(t, program)
		for name := range common {
			require.Contains(t, known, name, "%s does not know %s", program, name)
		}
		for _, e := range c.Env {
			require.Contains(t, known, e.Name, "%s does not know %s", program, e.Name)
		}
	}
	for _, program := range []string{"gateway", "worker"} {
		budget := all["PodDisruptionBudget/"+program].(*policyv1.PodDisruptionBudget)
		require.Equal(t, 1, budget.Spec.MaxUnavailable.IntValue())
		require.Subset(t, pods[program].Labels, budget.Spec.Selector.MatchLabels)
	}
	require.NotNil(t, pods["gateway"].Spec.Containers[0].Lifecycle.PreStop.Sleep, "endpoints have to forget the gateway first")
}

var variable = regexp.MustCompile(`\$(ACTORLOG_[A-Z_0-9]+)`)

// flagsOf is the environment variables that a program reads, as its help lists them.
func flagsOf(t *testing.T, program string) []string {
	t.Helper()
	help := run(t, root, binary(t, program), "--help")
	var names []string
	for _, m := range variable.FindAllStringSubmatch(help, -1) {
		names = append(names, m[1])
	}
	require.NotEmpty(t, names)
	return names
}

// Compose gives programs no variable that they do not read.
func TestComposeVariablesAreKnown(t *testing.T) {
	t.Parallel()
	p := compose(t, "")
	for name, program := range ours {
		if _, err := os.Stat(filepath.Join(root, "cmd", program)); err != nil {
			continue
		}
		known := flagsOf(t, program)
		for variable := range p.Services[name].Environment {
			require.Contains(t, known, variable, "%s does not know %s", program, variable)
		}
	}
}
