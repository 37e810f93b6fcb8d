package kafkalog

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/actorlog/actorlog/eventlog"
)

// BrokerInfo is one broker.
type BrokerInfo struct {
	ID      int32
	Address string
	// Version that it seems to be of, as far as its requests tell.
	Version string
	// RoundTrip of a small request.
	RoundTrip time.Duration
	// Err says why it does not answer.
	Err error
}

// TopicInfo is one of the prefix's topics.
type TopicInfo struct {
	Role       eventlog.Topic
	Name       string
	Partitions int
	Replicas   int
	// Leaderless partitions have no leader; Lagging have fewer replicas in sync than they have.
	Leaderless, Lagging []int32
	// Configs that matter.
	Configs map[string]string
	// Warnings say which of them are wrong.
	Warnings []string
	// Missing operations are what a role needs on the topic and this user may not; nil when brokers do not tell.
	Allowed []kmsg.ACLOperation
	// Told says that brokers told what is allowed.
	Told bool
	// Newest is the latest time of a record, as its writer's clock had it; zero when there is none or brokers do not tell.
	Newest time.Time
	// Err says that the topic is not there, or not to be seen.
	Err error
}

// Cluster is what there is, whatever is wrong with it.
type Cluster struct {
	ID         string
	Controller int32
	Brokers    []BrokerInfo
	Topics     []TopicInfo
}

// Inspect looks at the brokers and the topics of the prefix. It makes none, and fails only when no broker answers.
func Inspect(ctx context.Context, cfg Config) (*Cluster, error) {
	cfg.setDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("looking at the brokers: %w", err)
	}
	l := &Log{cfg: cfg}
	cl, err := kgo.NewClient(append(cfg.clientOptions(), kgo.RetryTimeout(10*time.Second))...)
	if err != nil {
		return nil, fmt.Errorf("looking at the brokers: %w", err)
	}
	defer cl.Close()
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for _, t := range eventlog.Topics() {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(cfg.Prefix + "." + t.String())
		req.Topics = append(req.Topics, rt)
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.OpenTimeout)
	defer cancel()
	meta, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, l.unreachable(err)
	}
	c := &Cluster{Controller: meta.ControllerID}
	if meta.ClusterID != nil {
		c.ID = *meta.ClusterID
	}
	for _, b := range meta.Brokers {
		c.Brokers = append(c.Brokers, inspectBroker(ctx, cl, b))
	}
	slices.SortFunc(c.Brokers, func(a, b BrokerInfo) int { return cmp.Compare(a.ID, b.ID) })
	for _, t := range eventlog.Topics() {
		name := cfg.Prefix + "." + t.String()
		info := TopicInfo{Role: t, Name: name, Configs: make(map[string]string)}
		for i := range meta.Topics {
			if mt := &meta.Topics[i]; mt.Topic != nil && *mt.Topic == name {
				info.take(mt)
			}
		}
		if info.Err == nil {
			inspectConfigs(ctx, cl, &info)
			info.Newest = newest(ctx, cl, &info)
		}
		c.Topics = append(c.Topics, info)
	}
	return c, nil
}

func inspectBroker(ctx context.Context, cl *kgo.Client, b kmsg.MetadataResponseBroker) BrokerInfo {
	info := BrokerInfo{ID: b.NodeID, Address: b.Host + ":" + strconv.Itoa(int(b.Port))}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "actorlog", "1"
	for range 2 { // the first one pays for the connection
		began := time.Now()
		resp, err := req.RequestWith(ctx, cl.Broker(int(b.NodeID)))
		if err != nil {
			info.Err = err
			return info
		}
		info.RoundTrip = time.Since(began)
		info.Version = kversion.FromApiVersionsResponse(resp).VersionGuess()
	}
	return info
}

func (info *TopicInfo) take(mt *kmsg.MetadataResponseTopic) {
	if info.Err = kerr.ErrorForCode(mt.ErrorCode); info.Err != nil {
		return
	}
	info.Partitions = len(mt.Partitions)
	for i := range mt.Partitions {
		p := &mt.Partitions[i]
		info.Replicas = max(info.Replicas, len(p.Replicas))
		if p.Leader < 0 {
			info.Leaderless = append(info.Leaderless, p.Partition)
		}
		if len(p.ISR) < len(p.Replicas) {
			info.Lagging = append(info.Lagging, p.Partition)
		}
	}
	// One bit for each operation; the least number there is when brokers do not say.
	if bits := mt.AuthorizedOperations; bits > 0 {
		info.Told = true
		for op := kmsg.ACLOperationRead; op <= kmsg.ACLOperationIdempotentWrite; op++ {
			if bits&(1<<uint(op)) != 0 {
				info.Allowed = append(info.Allowed, op)
			}
		}
	}
}

func inspectConfigs(ctx context.Context, cl *kgo.Client, info *TopicInfo) {
	req := kmsg.NewPtrDescribeConfigsRequest()
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, info.Name
	rr.ConfigNames = []string{"max.message.bytes", "cleanup.policy", "retention.ms", "retention.bytes", minInsyncReplicas, uncleanElection, writeCaching}
	req.Resources = append(req.Resources, rr)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil || len(resp.Resources) != 1 || resp.Resources[0].ErrorCode != 0 {
		return
	}
	for _, c := range resp.Resources[0].Configs {
		if c.Value != nil {
			info.Configs[c.Name] = *c.Value
		}
	}
	info.Warnings = durabilityWarnings(&topicInfo{name: info.Name, replicas: info.Replicas}, resp.Resources[0].Configs)
	if info.Role == eventlog.Events && (info.Configs["retention.ms"] != "-1" && info.Configs["retention.ms"] != "" || info.Configs["retention.bytes"] != "-1" && info.Configs["retention.bytes"] != "") {
		info.Warnings = append(info.Warnings, fmt.Sprintf("retention.ms is %s and retention.bytes %s: history that expires cannot be replayed; archive it, or set both to -1",
			info.Configs["retention.ms"], info.Configs["retention.bytes"]))
	}
	if policy := info.Configs["cleanup.policy"]; (info.Role == eventlog.Actions || info.Role == eventlog.Events) && policy != "delete" && policy != "" {
		info.Warnings = append(info.Warnings, "cleanup.policy is "+policy+": all but the last record of each actor is deleted; set it to delete")
	}
}

// newest is the largest time of the records of a topic, as their writers' clocks had it.
func newest(ctx context.Context, cl *kgo.Client, info *TopicInfo) (latest time.Time) {
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = info.Name
	for p := range info.Partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.CurrentLeaderEpoch, rp.Timestamp = int32(p), -1, -3 // the largest
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	for _, shard := range cl.RequestSharded(ctx, req) {
		resp, ok := shard.Resp.(*kmsg.ListOffsetsResponse)
		if shard.Err != nil || !ok {
			continue
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if at := time.UnixMilli(p.Timestamp); p.ErrorCode == 0 && p.Timestamp > 0 && at.After(latest) {
					latest = at
				}
			}
		}
	}
	return latest
}

// MissingRights is what a role needs on the topics and this user may not do; nil when the brokers do not tell, or it may all.
func (c *Cluster) MissingRights(cfg Config, role Role) []Right {
	cfg.setDefaults()
	var missing []Right
	for _, r := range Rights(cfg.Prefix, "") {
		if r.Role != role || r.Resource != kmsg.ACLResourceTypeTopic {
			continue
		}
		for _, t := range c.Topics {
			if t.Name != r.Name || !t.Told {
				continue
			}
			lacks := Right{Role: role, Resource: r.Resource, Name: r.Name}
			for _, op := range r.Operations {
				// Create is asked of the cluster or the topic, and topics that are there need it no more.
				if op != kmsg.ACLOperationCreate && !slices.Contains(t.Allowed, op) {
					lacks.Operations = append(lacks.Operations, op)
				}
			}
			if len(lacks.Operations) > 0 {
				missing = append(missing, lacks)
			}
		}
	}
	return missing
}

// String is the right for people.
func (r Right) String() string {
	ops := ""
	for i, op := range r.Operations {
		if i > 0 {
			ops += ", "
		}
		ops += named(op.String())
	}
	return ops + " on " + r.Name
}
