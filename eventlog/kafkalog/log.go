package kafkalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/zap"

	"github.com/actorlog/actorlog/eventlog"
)

var _ eventlog.Log = (*Log)(nil)

// Log is a client of the brokers; see [eventlog.Log]. Made by Open.
type Log struct {
	cfg        Config
	cl         *kgo.Client // produces, and asks
	partitions int32
	identity   string
	topics     []topicInfo // by eventlog.Topic

	appends appends

	mu      sync.Mutex
	closed  bool
	closing context.Context // ends with Close
	end     context.CancelFunc
	tails   map[*Tail]struct{}
	idle    []*reader // readers of closed tails, for the next ones
	joining bool
	wg      sync.WaitGroup
}

// topicInfo is what Open learned about a topic.
type topicInfo struct {
	name       string
	id         [16]byte
	partitions int32
	replicas   int // of partition 0
	maxBytes   int // max.message.bytes
}

// Open connects to the brokers, creates the topics that are missing (unless ReadOnly)
// and checks those that are there. Several processes may do so at once. ctx bounds the
// opening only.
func Open(ctx context.Context, cfg Config) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	cfg.setDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	if cfg.Registerer != nil {
		cfg.metrics = newMetrics(cfg.Registerer)
	}
	l := &Log{cfg: cfg, tails: make(map[*Tail]struct{})}
	l.closing, l.end = context.WithCancel(context.Background())
	for _, t := range l.roles() {
		l.topics = append(l.topics, topicInfo{name: cfg.Prefix + "." + t.String(), maxBytes: cfg.MaxRecordBytes})
	}

	codec, _ := cfg.codec()
	cl, err := kgo.NewClient(append(append(cfg.clientOptions(), cfg.producerHooks()...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(codec),
		kgo.ProducerBatchMaxBytesFn(l.batchBytes),
		// Our own buffer bounds appends (Config.BufferBytes), because it can be
		// waited for with a context without handing that context to kgo.
		kgo.MaxBufferedRecords(1<<30),
		// Also for records that wait behind the first: a partition that has been
		// stuck for so long is stuck for them too.
		kgo.RecordDeliveryTimeout(cfg.AppendTimeout),
		// A topic that is missing after Open has verified it is a broker that does
		// not know yet: wait.
		kgo.UnknownTopicRetries(-1),
	)...)
	if err != nil {
		return nil, fmt.Errorf("opening the log: %w", err)
	}
	l.cl = cl

	ctx, cancel := context.WithTimeout(ctx, cfg.OpenTimeout)
	defer cancel()
	if err := l.setUp(ctx); err != nil {
		l.end()
		cl.Close()
		return nil, err
	}
	l.appends.init(l)
	return l, nil
}

// roles is the topics that this application has.
func (l *Log) roles() []eventlog.Topic {
	if l.cfg.Keys {
		return append(eventlog.Topics(), eventlog.Keys)
	}
	return eventlog.Topics()
}

// batchBytes is asked by kgo while it produces, after Open has filled in topics.
func (l *Log) batchBytes(topic string) int32 {
	for i := range l.topics {
		if l.topics[i].name == topic {
			return int32(l.topics[i].maxBytes)
		}
	}
	return 1 << 20
}

// MaxRecordBytes is the largest record of events, with its framing, as the topic says.
func (l *Log) MaxRecordBytes() int { return l.topics[eventlog.Events].maxBytes }

// Partitions implements [eventlog.Log].
func (l *Log) Partitions() int32 { return l.partitions }

// Identity implements [eventlog.Log]: the cluster's id, the prefix and a digest of the
// topics' ids. Brokers that do not know topic ids (Kafka before 2.8) are told apart by
// cluster and prefix only.
func (l *Log) Identity() string { return l.identity }

// Close ends appends and polls that are waiting with ErrClosed, and a running Join as
// its context would. Snapshot writers are closed by their owners.
func (l *Log) Close() {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.closed = true
	l.end()
	tails := make([]*Tail, 0, len(l.tails))
	for t := range l.tails {
		tails = append(tails, t)
	}
	l.mu.Unlock()

	l.appends.close()
	for _, t := range tails {
		t.Close()
	}
	l.cl.Close()
	l.wg.Wait()

	l.mu.Lock()
	idle := l.idle
	l.idle = nil
	l.mu.Unlock()
	for _, r := range idle {
		r.close()
	}
}

// untilClosed is ctx that also ends with Close.
func (l *Log) untilClosed(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(l.closing, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// checkPartition returns an error for a partition that the topic does not have.
func (l *Log) checkPartition(t eventlog.Topic, partition int32) error {
	if int(t) >= len(l.topics) {
		return fmt.Errorf("unknown %s", t)
	}
	if n := l.topics[t].partitions; partition < 0 || partition >= n {
		return fmt.Errorf("topic %s has no partition %d: it has %d", l.topics[t].name, partition, n)
	}
	return nil
}

// Bounds implements [eventlog.Log].
func (l *Log) Bounds(ctx context.Context, t eventlog.Topic, partition int32) (start, end int64, err error) {
	fail := func(err error) (int64, int64, error) {
		return 0, 0, fmt.Errorf("reading the bounds of %s[%d]: %w", t, partition, l.translate(err))
	}
	if err := l.checkPartition(t, partition); err != nil {
		return fail(err)
	}
	ctx, cancel := l.untilClosed(ctx)
	defer cancel()
	const earliest, latest = -2, -1
	type answer struct {
		offset int64
		err    error
	}
	first := make(chan answer, 1)
	go func() {
		offset, err := l.listOffset(ctx, t, partition, earliest)
		first <- answer{offset, err}
	}()
	end, err = l.listOffset(ctx, t, partition, latest)
	a := <-first
	if err := errors.Join(a.err, err); err != nil {
		return fail(err)
	}
	return a.offset, end, nil
}

func (l *Log) listOffset(ctx context.Context, t eventlog.Topic, partition int32, at int64) (int64, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	if t == eventlog.Snapshots {
		req.IsolationLevel = 1
	}
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = l.topics[t].name
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Partition = partition
	rp.Timestamp = at
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	for try := 0; ; try++ {
		resp, err := req.RequestWith(ctx, l.cl)
		switch {
		case err != nil:
		case len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1:
			err = errors.New("the broker's answer lacks the partition")
		default:
			p := &resp.Topics[0].Partitions[0]
			if err = kerr.ErrorForCode(p.ErrorCode); err == nil {
				return p.Offset, nil
			}
		}
		if !kerr.IsRetriable(err) || try == 50 || !sleep(ctx, l.closing.Done(), backoff(try)) {
			return 0, err
		}
	}
}

// setUp creates and verifies the topics.
func (l *Log) setUp(ctx context.Context) error {
	meta, err := l.metadata(ctx)
	if err != nil {
		return l.unreachable(err)
	}
	found := make(map[string]*kmsg.MetadataResponseTopic)
	var missing []eventlog.Topic
	for i := range meta.Topics {
		mt := &meta.Topics[i]
		if mt.Topic != nil {
			found[*mt.Topic] = mt
		}
	}
	existing := int32(0)
	for _, t := range l.roles() {
		mt := found[l.topics[t].name]
		if mt == nil {
			missing = append(missing, t)
			continue
		}
		switch err := kerr.ErrorForCode(mt.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			missing = append(missing, t)
		case err != nil && !kerr.IsRetriable(err):
			return l.denied(t, "Describe", err)
		case t != eventlog.Gateways && existing == 0:
			existing = int32(len(mt.Partitions))
		}
	}

	// Existing topics decide, unless the caller insists on something else.
	l.partitions = l.cfg.Partitions
	if l.partitions == 0 {
		l.partitions = existing
	}
	if l.partitions == 0 {
		l.partitions = DefaultPartitions
	}
	for _, t := range l.roles() {
		l.topics[t].partitions = l.partitions
		if t == eventlog.Gateways {
			l.topics[t].partitions = 1
		}
	}
	if len(missing) > 0 {
		if l.cfg.ReadOnly {
			return fmt.Errorf("topic %s does not exist, and this program makes none: check --brokers and --prefix (%q), or start a worker or gateway first, which creates it",
				l.topics[missing[0]].name, l.cfg.Prefix)
		}
		if existing != 0 && existing != l.partitions {
			return l.countMismatch(found, existing)
		}
		if err := l.create(ctx, missing); err != nil {
			return err
		}
	}
	if err := l.verify(ctx); err != nil {
		return err
	}
	return l.verifyConfigs(ctx)
}

func (l *Log) countMismatch(found map[string]*kmsg.MetadataResponseTopic, existing int32) error {
	for _, t := range l.roles() {
		if mt := found[l.topics[t].name]; mt != nil && t != eventlog.Gateways && len(mt.Partitions) > 0 {
			return l.wrongCount(t, int32(len(mt.Partitions)))
		}
	}
	return l.wrongCount(eventlog.Actions, existing)
}

func (l *Log) wrongCount(t eventlog.Topic, has int32) error {
	if t == eventlog.Gateways {
		return fmt.Errorf("topic %s has %d partitions, it must have 1: delete it, it is created again (it holds nothing but the leases of running gateways)", l.topics[t].name, has)
	}
	return fmt.Errorf("topic %s has %d partitions, this application was configured with %d: the number cannot be changed, because it decides which partition an actor lives in; start with --partitions %d, or use another --prefix (now %q)",
		l.topics[t].name, has, l.partitions, has, l.cfg.Prefix)
}

func (l *Log) metadata(ctx context.Context) (*kmsg.MetadataResponse, error) {
	req := kmsg.NewPtrMetadataRequest()
	for i := range l.topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(l.topics[i].name)
		req.Topics = append(req.Topics, rt)
	}
	var last error
	for try := 0; ; try++ {
		resp, err := req.RequestWith(ctx, l.cl)
		if err == nil {
			return resp, nil
		}
		// The cause, rather than that the time is over.
		if last == nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
			last = err
		}
		if !isDial(err) && !kerr.IsRetriable(err) || !sleep(ctx, l.closing.Done(), backoff(try)) {
			return nil, last
		}
	}
}

func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// create makes the missing topics; one that somebody else makes meanwhile is fine.
func (l *Log) create(ctx context.Context, missing []eventlog.Topic) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 15000
	for _, t := range missing {
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic = l.topics[t].name
		rt.NumPartitions = l.topics[t].partitions
		rt.ReplicationFactor = -1
		if l.cfg.ReplicationFactor > 0 {
			rt.ReplicationFactor = l.cfg.ReplicationFactor
		}
		for _, kv := range l.topicConfigs(t) {
			rc := kmsg.NewCreateTopicsRequestTopicConfig()
			rc.Name, rc.Value = kv[0], kmsg.StringPtr(kv[1])
			rt.Configs = append(rt.Configs, rc)
		}
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, l.cl)
	if err != nil {
		return fmt.Errorf("creating the topics of prefix %q: %w", l.cfg.Prefix, l.unreachable(err))
	}
	for _, rt := range resp.Topics {
		err := kerr.ErrorForCode(rt.ErrorCode)
		why := ""
		if rt.ErrorMessage != nil {
			why = " (" + *rt.ErrorMessage + ")"
		}
		switch {
		case err == nil, errors.Is(err, kerr.TopicAlreadyExists):
		case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
			return fmt.Errorf("creating topic %s: %w%s: grant Create on it to this user, or have it created by somebody who may", rt.Topic, err, why)
		case errors.Is(err, kerr.InvalidReplicationFactor):
			return fmt.Errorf("creating topic %s: %w%s: the cluster has too few brokers for it; choose --replication-factor", rt.Topic, err, why)
		default:
			return fmt.Errorf("creating topic %s: %w%s", rt.Topic, err, why)
		}
	}
	return nil
}

// topicConfigs are the policies that a topic is created with. What is not named here,
// min.insync.replicas above all, is left to the brokers.
func (l *Log) topicConfigs(t eventlog.Topic) [][2]string {
	millis := func(d time.Duration) string {
		if d <= 0 {
			return "-1"
		}
		return strconv.FormatInt(d.Milliseconds(), 10)
	}
	configs := [][2]string{
		{"max.message.bytes", strconv.Itoa(l.cfg.MaxRecordBytes)},
		{"retention.bytes", "-1"},
	}
	switch t {
	case eventlog.Actions:
		return append(configs, [2]string{"cleanup.policy", "delete"}, [2]string{"retention.ms", millis(l.cfg.ActionsRetention)})
	case eventlog.Events:
		return append(configs, [2]string{"cleanup.policy", "delete"}, [2]string{"retention.ms", millis(l.cfg.EventsRetention)})
	case eventlog.Keys:
		// A key that was destroyed is to be deleted soon, whatever else is written: so segments are closed and compacted in time.
		return append(configs, [2]string{"cleanup.policy", "compact"}, [2]string{"retention.ms", "-1"}, [2]string{"min.compaction.lag.ms", "0"},
			[2]string{"max.compaction.lag.ms", millis(KeysCompactionLag)}, [2]string{"segment.ms", millis(KeysCompactionLag)},
			[2]string{"min.cleanable.dirty.ratio", "0.01"})
	default:
		// retention.ms: Kafka ignores it here; the embedded broker does not.
		// segment.bytes: only closed segments are compacted.
		return append(configs, [2]string{"cleanup.policy", "compact"}, [2]string{"retention.ms", "-1"},
			[2]string{"segment.bytes", strconv.Itoa(max(64<<20, 2*l.cfg.MaxRecordBytes))})
	}
}

// verify waits until all topics have leaders, and checks them.
func (l *Log) verify(ctx context.Context) error {
	for try := 0; ; try++ {
		meta, err := l.metadata(ctx)
		if err != nil {
			return l.unreachable(err)
		}
		pending := l.inspect(meta)
		if pending == nil {
			return nil
		}
		var final *finalError
		if errors.As(pending, &final) {
			return final.error
		}
		if !sleep(ctx, l.closing.Done(), backoff(try)) {
			return fmt.Errorf("waiting for the topics of prefix %q: %w", l.cfg.Prefix, pending)
		}
	}
}

// finalError is one that waiting does not mend.
type finalError struct{ error }

func (l *Log) inspect(meta *kmsg.MetadataResponse) error {
	byName := make(map[string]*kmsg.MetadataResponseTopic)
	for i := range meta.Topics {
		if mt := &meta.Topics[i]; mt.Topic != nil {
			byName[*mt.Topic] = mt
		}
	}
	digest := sha256.New()
	known := true
	for _, t := range l.roles() {
		info := &l.topics[t]
		mt := byName[info.name]
		if mt == nil {
			return fmt.Errorf("topic %s is not there yet", info.name)
		}
		if err := kerr.ErrorForCode(mt.ErrorCode); err != nil {
			if errors.Is(err, kerr.TopicAuthorizationFailed) {
				return &finalError{l.denied(t, "Describe", err)}
			}
			return fmt.Errorf("topic %s: %w", info.name, err)
		}
		if n := int32(len(mt.Partitions)); n != info.partitions {
			return &finalError{l.wrongCount(t, n)}
		}
		for i := range mt.Partitions {
			if mp := &mt.Partitions[i]; mp.Leader < 0 {
				return fmt.Errorf("partition %d of topic %s has no leader: are enough brokers running?", mp.Partition, info.name)
			}
		}
		info.id = mt.TopicID
		info.replicas = len(mt.Partitions[0].Replicas)
		if t != eventlog.Keys { // which is made when records are first sealed, and changes nothing of what is there
			known = known && info.id != [16]byte{}
			digest.Write(info.id[:])
		}
	}
	cluster := ""
	if meta.ClusterID != nil {
		cluster = *meta.ClusterID
	}
	l.identity = cluster + "/" + l.cfg.Prefix
	if known {
		l.identity += "/" + hex.EncodeToString(digest.Sum(nil)[:8])
	}
	return nil
}

// verifyConfigs reads the limits of the topics, refuses a policy that would lose
// history, and warns of settings with which what is acknowledged can be lost. Brokers that do
// not let us look are trusted.
func (l *Log) verifyConfigs(ctx context.Context) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	for i := range l.topics {
		rr := kmsg.NewDescribeConfigsRequestResource()
		rr.ResourceType = kmsg.ConfigResourceTypeTopic
		rr.ResourceName = l.topics[i].name
		rr.ConfigNames = []string{"max.message.bytes", "cleanup.policy", minInsyncReplicas, uncleanElection, writeCaching, retention}
		req.Resources = append(req.Resources, rr)
	}
	resp, err := req.RequestWith(ctx, l.cl)
	if err != nil {
		return l.unreachable(err)
	}
	for _, rr := range resp.Resources {
		for _, t := range l.roles() {
			info := &l.topics[t]
			if rr.ResourceName != info.name || rr.ErrorCode != 0 {
				continue
			}
			if t == eventlog.Events && l.cfg.Logger != nil {
				for _, w := range durabilityWarnings(info, rr.Configs) {
					l.cfg.Logger.Warn(w, zap.String("topic", info.name))
				}
			}
			for _, rc := range rr.Configs {
				if rc.Value == nil {
					continue
				}
				switch rc.Name {
				case "max.message.bytes":
					if n, err := strconv.Atoi(*rc.Value); err == nil && n > 0 {
						info.maxBytes = min(n, 64<<20)
					}
				case retention:
					l.warnOfRetention(t, info.name, *rc.Value)
				case "cleanup.policy":
					compact := strings.Contains(*rc.Value, "compact")
					if log := t == eventlog.Actions || t == eventlog.Events; log && compact {
						return fmt.Errorf("topic %s has cleanup.policy=%s, which would delete all but the last record of each actor: set it to delete", info.name, *rc.Value)
					}
				}
			}
		}
	}
	return nil
}

// retention is how long a topic keeps records, in ms; -1 is for ever.
const retention = "retention.ms"

// warnOfRetention says that a topic keeps its records for another time than this process was told. What the process was not told is the operator's choice.
func (l *Log) warnOfRetention(t eventlog.Topic, name, is string) {
	told := (t == eventlog.Actions && l.cfg.ActionsRetention != DefaultActionsRetention) || (t == eventlog.Events && l.cfg.EventsRetention != 0)
	if !told || l.cfg.Logger == nil {
		return
	}
	for _, kv := range l.topicConfigs(t) {
		if kv[0] == retention && kv[1] != is {
			l.cfg.Logger.Warn("the topic was made with another retention, which stays: change it with the brokers' tools",
				zap.String("topic", name), zap.String(retention, is), zap.String("wanted", kv[1]))
		}
	}
}

// Settings that decide whether an acknowledged record can be lost.
const (
	minInsyncReplicas = "min.insync.replicas"
	uncleanElection   = "unclean.leader.election.enable"
	writeCaching      = "write.caching" // Redpanda's
)

// durabilityWarnings says what is wrong with a replicated topic. One without replicas is a
// choice that needs no words: development, or storage that is replicated below the broker.
func durabilityWarnings(info *topicInfo, configs []kmsg.DescribeConfigsResponseResourceConfig) (warnings []string) {
	if info.replicas < 2 {
		return nil
	}
	value := make(map[string]string)
	for _, rc := range configs {
		if rc.Value != nil {
			value[rc.Name] = *rc.Value
		}
	}
	caching, redpanda := value[writeCaching]
	if value[minInsyncReplicas] == "1" && !redpanda { // Redpanda waits for a majority, whatever this says
		warnings = append(warnings, "min.insync.replicas is 1: what is acknowledged may be on one broker alone, and be lost with it; set it to 2")
	}
	if value[uncleanElection] == "true" {
		warnings = append(warnings, "unclean.leader.election.enable is true: a broker that lacks what was acknowledged may become leader; set it to false")
	}
	if caching == "true" {
		warnings = append(warnings, "write.caching is true: brokers acknowledge what is not on their disks, and lose it if several fail at once; set it to false")
	}
	return warnings
}

func (l *Log) unreachable(err error) error {
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed), errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		return fmt.Errorf("brokers %s refuse the user %q: %w: check SASL mechanism, user and password", strings.Join(l.cfg.Brokers, ","), l.cfg.SASL.User, err)
	default:
		user := ""
		if l.cfg.SASL.Mechanism != "" {
			user = fmt.Sprintf(" (%s, user %q)", l.cfg.SASL.Mechanism, l.cfg.SASL.User)
		}
		return fmt.Errorf("no broker of %s answers: %w: is it running, and do --brokers, TLS and SASL settings%s match its listener?", strings.Join(l.cfg.Brokers, ","), err, user)
	}
}

func (l *Log) denied(t eventlog.Topic, right string, err error) error {
	return fmt.Errorf("topic %s: %w: grant %s on it to this user", l.topics[t].name, err, right)
}

// translate turns kgo's and the brokers' errors into the port's.
func (l *Log) translate(err error) error {
	switch {
	case errors.Is(err, kgo.ErrClientClosed), l.closing.Err() != nil && errors.Is(err, context.Canceled):
		return eventlog.ErrClosed
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		return fmt.Errorf("%w: grant Read, or for what is written Write, to this user", err)
	case errors.Is(err, kerr.ClusterAuthorizationFailed):
		return fmt.Errorf("%w: grant Write on the topics to this user, and before Kafka 3.0 IdempotentWrite on the cluster", err)
	case errors.Is(err, kerr.TransactionalIDAuthorizationFailed):
		return fmt.Errorf("%w: grant Write on transactional ids of prefix %q to this user", err, l.cfg.Prefix)
	}
	return err
}

// sleep reports false when ctx or done ended first.
func sleep(ctx context.Context, done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-done:
		return false
	}
}
